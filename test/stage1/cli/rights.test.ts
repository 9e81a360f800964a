import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { HOLDFAST_PROGRAM, PROJECT_ROOT, type Ran, run as runHere } from '../../support/holdfast.ts'
import { tar, type WrittenLayout, writeOciLayout } from '../../support/images.ts'
import { cannotHaveUsers, MachineUsers, rightsOf, USERS, type Who } from '../../support/machine-users.ts'

const UUID = '0c0e1f6e-5a2f-4c0b-9d5e-2f6f6f0d3b11'
const SECRET = 'cm90LTEzLXNlY3JldA'
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'

describe('who may do what with images and pods', function () {
  this.timeout(60_000)
  let machine: MachineUsers
  let store: string

  before(function () {
    const reason = cannotHaveUsers() ?? (fs.existsSync(HOLDFAST_PROGRAM) ? undefined : 'not built: npm run build')
    if (reason !== undefined) {
      console.log(`      skipped: ${reason}`)
      this.skip()
    }
    machine = new MachineUsers()
    store = join(machine.directory, 'store')
  })
  after(() => machine?.remove())

  const holdfast = (who: Who, command: string, ...args: readonly string[]): Promise<Ran> => {
    const words = command.split(' ')
    return machine.exec(who, HOLDFAST_PROGRAM, ...words, '--dir', store, ...args)
  }
  const layoutOf = (name: string, directory = machine.directory, content = name): WrittenLayout => {
    const layers = [{ tar: tar([{ name: 'f', data: content }]) }]
    return writeOciLayout(join(directory, name), { layers, config: { Cmd: ['/f'] } })
  }
  const reference = (name: string): string => `oci:${join(machine.directory, name)}`
  const fetch = (who: Who, name: string): Promise<Ran> =>
    holdfast(who, 'fetch', '--quiet', '--insecure-options=image', reference(name))
  const run = (name: string): Promise<Ran> =>
    holdfast('root', 'run', '--stage0', 'none', '--agent', '/run/none.sock', '--insecure-options=image', name)
  const refFile = (name: string): string => join(store, 'refs', encodeURIComponent(reference(name)))
  const treeOf = (layout: WrittenLayout): string => {
    const record = fs.readFileSync(join(store, 'images', `${layout.configDigest.replace(':', '-')}.json`), 'utf8')
    return join(store, 'trees', `${JSON.parse(record).treeDigest.slice(-64)}.erofs`)
  }
  /** As this user, by a program that knows nothing of Holdfast. */
  const sh = (who: Who, script: string): Promise<Ran> => machine.exec(who, 'sh', '-c', script)
  const refused = (ran: Ran, code: string): void => {
    assert.equal(ran.status, 254, ran.stderr)
    assert.ok(ran.stderr.includes(code), ran.stderr)
  }

  it('root’s fetch writes everything as the user holdfast, from what that user could not reach', async () => {
    const closed = join(machine.directory, 'closed')
    fs.mkdirSync(closed, { mode: 0o700 })
    layoutOf('root-image', closed)
    fs.renameSync(join(closed, 'root-image'), join(machine.directory, 'root-image'))
    layoutOf('inside', closed)
    const fetched = await holdfast('root', 'fetch', '--quiet', '--insecure-options=image', `oci:${closed}/inside`)
    assert.deepEqual([fetched.status, fetched.stderr], [0, ''])
    execFileSync('tar', ['-cf', join(closed, 'saved.tar'), '-C', join(closed, 'inside'), '.'])
    execFileSync('tar', ['-czf', join(closed, 'saved.tar.gz'), '-C', join(closed, 'inside'), '.'])
    for (const file of ['saved.tar', 'saved.tar.gz', 'an.aci']) {
      if (file === 'an.aci') {
        const exported = await holdfast('root', 'image export', `oci:${closed}/inside`, join(closed, file))
        assert.deepEqual([exported.status, exported.stderr], [0, ''])
      }
      fs.chmodSync(join(closed, file), 0o600)
      const ran = await holdfast('root', 'fetch', '--quiet', '--insecure-options=image', join(closed, file))
      assert.deepEqual([ran.status, ran.stderr], [0, ''], file)
    }
    assert.equal((await fetch('root', 'root-image')).status, 0)
    const owners = execFileSync('find', [store, '-type', 'f', '-printf', '%U %m\n'], { encoding: 'utf8' })
    assert.deepEqual([...new Set(owners.trim().split('\n'))], [`${USERS.holdfast.uid} 444`])
    assert.deepEqual(fs.readdirSync(join(store, 'tmp')), [])
  })

  it('config/setup-users.sh follows no link of the user holdfast', async () => {
    const [own, victim] = ['linked', 'of-root'].map((name) => join(machine.directory, name)) as [string, string]
    const setUp = (): Promise<Ran> => machine.exec('root', join(PROJECT_ROOT, 'config/setup-users.sh'), own)
    fs.mkdirSync(victim, { mode: 0o700 })
    assert.equal((await setUp()).status, 0)
    const taken = join(own, 'cas/sha256')
    const linked = await sh('holdfast', `rmdir ${taken} && ln -s ${victim} ${taken}`)
    assert.equal(linked.status, 0, linked.stderr)
    const ran = await setUp()
    assert.equal(ran.status, 1)
    assert.match(ran.stderr, /cas\/sha256 is not a directory of its own/)
    const { uid, mode } = fs.statSync(victim)
    assert.deepEqual([uid, mode & 0o7777], [0, 0o700])
  })

  it('what root makes anew in a directory of the user holdfast is given to nobody where a link has come in its place', async () => {
    const [own, victim] = ['raced', 'of-root-too'].map((name) => join(machine.directory, name)) as [string, string]
    fs.mkdirSync(victim, { mode: 0o700 })
    assert.equal((await machine.exec('root', join(PROJECT_ROOT, 'config/setup-users.sh'), own)).status, 0)
    fs.rmdirSync(join(own, 'cas/sha256'))
    // what wins the race each time
    const hook = join(machine.directory, 'hook.cjs')
    fs.writeFileSync(
      hook,
      `const fs = require('node:fs'), { mkdirSync } = fs
      fs.mkdirSync = (name, options) => {
        const made = mkdirSync(name, options)
        if (!name.endsWith('/cas/sha256')) return made
        fs.rmdirSync(name)
        fs.symlinkSync(${JSON.stringify(victim)}, name)
      }
      require('node:module').syncBuiltinESMExports()`,
    )
    const open = `import { openImageStore } from ${JSON.stringify(join(PROJECT_ROOT, 'stage1/image/store.ts'))}; openImageStore(${JSON.stringify(own)})`
    const ran = await machine.exec(
      'root',
      process.execPath,
      '--require',
      hook,
      '--import=tsx',
      '--input-type=module',
      '-e',
      open,
    )
    assert.match(ran.stderr, /ENOTDIR|ELOOP/)
    const { uid, mode } = fs.statSync(victim)
    assert.deepEqual([uid, mode & 0o7777], [0, 0o700])
  })

  describe('is told by group', () => {
    const rows: readonly {
      readonly what: string
      readonly args: () => readonly string[]
      readonly may: readonly Who[]
    }[] = [
      { what: 'image list', args: () => [], may: ['looker', 'admin', 'root'] },
      { what: 'image verify', args: () => [], may: ['looker', 'admin', 'root'] },
      { what: 'image cat-manifest', args: () => [reference('root-image')], may: ['looker', 'admin', 'root'] },
      { what: 'image export', args: () => [reference('root-image'), '-'], may: ['looker', 'admin', 'root'] },
      { what: 'list', args: () => [], may: ['looker', 'admin', 'root'] },
      { what: 'status', args: () => [UUID], may: ['looker', 'admin', 'root'] },
      { what: 'cat-manifest', args: () => [UUID], may: ['looker', 'admin', 'root'] },
      {
        what: 'fetch',
        args: () => ['--quiet', '--insecure-options=image', reference('table')],
        may: ['admin', 'root'],
      },
      { what: 'image gc', args: () => [], may: ['root'] },
      { what: 'rm', args: () => [UUID], may: ['root'] },
      { what: 'image rm', args: () => [reference('root-image')], may: ['root'] },
    ]
    before(() => {
      layoutOf('table')
      putPod(store)
    })
    for (const { what, args, may } of rows) {
      for (const who of ['outsider', 'looker', 'admin', 'root'] as const) {
        it(`${what}: ${who} ${may.includes(who) ? 'may' : 'may not'}`, async () => {
          const ran = await holdfast(who, what, ...args())
          assert.equal(ran.status, may.includes(who) ? 0 : 254, ran.stdout + ran.stderr)
          if (who !== 'root') assert.ok(!(ran.stdout + ran.stderr).includes(SECRET))
          if (what === 'cat-manifest' && who === 'root') assert.ok(ran.stdout.includes(SECRET))
        })
      }
    }
  })

  it('no secret of a pod is readable but by root', async () => {
    const pod = putPod(store)
    for (const who of ['looker', 'admin', 'holdfast', 'holdfast-agent'] as const) {
      const found = await sh(who, `grep -rs ${SECRET} ${pod}; cat ${pod}/redaction-key 2>/dev/null; true`)
      assert.equal(found.stdout, '', who)
    }
  })

  describe('root parses nothing itself:', () => {
    let server: Server
    let layout: WrittenLayout
    let asked: () => void = () => {}
    let goOn: Promise<void> = Promise.resolve()

    before(async () => {
      layout = layoutOf('registry')
      server = createServer((request, response) => {
        void (async () => {
          if (request.headers.authorization !== `Basic ${Buffer.from('me:pw').toString('base64')}`) {
            response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end()
            return
          }
          asked()
          await goOn
          const digest = /\/manifests\//.test(request.url ?? '')
            ? layout.manifestDigest
            : request.url?.split('/').at(-1)
          const bytes = fs.readFileSync(join(machine.directory, 'registry/blobs', (digest ?? '').replace(':', '/')))
          response.writeHead(200, { 'content-type': MANIFEST_TYPE, 'content-length': bytes.length }).end(bytes)
        })().catch(() => response.destroy())
      }).listen(0, '127.0.0.1')
      await once(server, 'listening')
    })
    after(() => {
      server?.closeAllConnections()
      server?.close()
    })

    /** Runs a command that fetches, and looks at its processes while the registry has it wait. */
    async function whileFetching(command: readonly string[], look: (child: ChildProcess) => void): Promise<void> {
      const auth = join(machine.directory, 'auth.json')
      const host = `127.0.0.1:${(server.address() as AddressInfo).port}` // listens on TCP
      const auths = { [host]: { auth: Buffer.from('me:pw').toString('base64') } }
      fs.writeFileSync(auth, JSON.stringify({ auths }), { mode: 0o600 })
      let release = (): void => {}
      goOn = new Promise((resolve) => {
        release = resolve
      })
      const isAsked = new Promise<void>((resolve) => {
        asked = resolve
      })
      const env = { ...process.env, REGISTRY_AUTH_FILE: auth }
      const child = machine.start('root', env, HOLDFAST_PROGRAM, ...command, '--dir', store, `docker://${host}/x:1`)
      const errors: Buffer[] = []
      child.stderr?.on('data', (piece: Buffer) => errors.push(piece))
      child.stdout?.resume()
      const closed = once(child, 'close')
      try {
        await Promise.race([isAsked, closed])
        assert.equal(child.exitCode, null, Buffer.concat(errors).toString())
        look(child)
      } finally {
        release()
        await closed
      }
      assert.equal(child.exitCode, 0, Buffer.concat(errors).toString())
    }
    const isUser = (pid: number): void => {
      const { uid, gid, groups, capabilities } = rightsOf(pid)
      assert.deepEqual({ uid, gid, capabilities }, { uid: 64_101, gid: 64_101, capabilities: 0n })
      assert.deepEqual(new Set(groups), new Set([64_101, 64_102]))
    }

    it('fetch is the user holdfast, without capabilities, when the first answer comes, and has root’s password', () =>
      whileFetching(['fetch', '--quiet', '--insecure-options=http,image'], ({ pid = 0 }) => isUser(pid)))

    it('a launch that has to fetch does it in such a process, and stays root itself', async () => {
      assert.equal((await holdfast('root', 'image rm', 'x')).status, 0)
      await whileFetching(['prepare', '--insecure-options=http,image'], ({ pid = 0 }) => {
        assert.equal(rightsOf(pid).uid, 0)
        const children = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number)
        assert.equal(children.length, 1)
        isUser(children[0] ?? 0)
      })
    })

    it('what goes wrong in that process is said with its code', async () => {
      const missing = await holdfast('root', 'prepare', `oci:${machine.directory}/none`)
      refused(missing, 'IMAGE_NOT_FOUND')
    })
  })

  describe('what a member of holdfast-admin writes counts for him alone:', () => {
    it('an image that he fetched is not launched before root has fetched it, which takes what is there', async () => {
      layoutOf('his')
      assert.equal((await fetch('admin', 'his')).status, 0)
      assert.equal(fs.statSync(refFile('his')).uid, USERS.admin.uid)
      refused(await run(reference('his')), 'IMAGE_NOT_VOUCHED')
      const told = (await run(reference('his'))).stderr
      assert.ok(told.includes(`holdfast fetch ${reference('his')}`), told)
      assert.equal((await fetch('root', 'his')).status, 0)
      assert.equal(fs.statSync(refFile('his')).uid, USERS.holdfast.uid)
      refused(await run(reference('his')), 'AGENT_MISSING')
    })

    it('his word on the files of an image is not taken over by root’s fetch', async () => {
      const [good, evil] = [layoutOf('good'), layoutOf('evil', machine.directory, 'something else')]
      assert.equal((await fetch('admin', 'good')).status, 0)
      assert.equal((await fetch('admin', 'evil')).status, 0)
      const right = treeOf(good)
      const record = join(store, 'images', `${good.configDigest.replace(':', '-')}.json`)
      const forged = JSON.parse(fs.readFileSync(record, 'utf8'))
      forged.treeDigest = `${forged.treeDigest.slice(0, -64)}${/([0-9a-f]{64})\.erofs$/.exec(treeOf(evil))?.[1]}`
      const text = join(machine.directory, 'forged')
      fs.writeFileSync(text, JSON.stringify(forged), { mode: 0o644 })
      const put = await sh('admin', `rm ${record} && cp ${text} ${record}`)
      assert.equal(put.status, 0, put.stderr)
      assert.notEqual(treeOf(good), right)
      refused(await run(reference('good')), 'IMAGE_NOT_VOUCHED')
      assert.equal((await fetch('root', 'good')).status, 0)
      assert.equal(treeOf(good), right)
      assert.equal(fs.statSync(record).uid, USERS.holdfast.uid)
    })

    it('he cannot replace, rename or remove what root fetched', async () => {
      layoutOf('kept')
      assert.equal((await fetch('root', 'kept')).status, 0)
      refused(await fetch('admin', 'kept'), 'IMAGE_NAME_TAKEN')
      refused(await holdfast('admin', 'image rm', reference('kept')), 'IMAGE_NAME_TAKEN')
      const moved = await sh('admin', `mv ${refFile('kept')} ${refFile('kept')}.old`)
      assert.notEqual(moved.status, 0)
      assert.equal(fs.statSync(refFile('kept')).uid, USERS.holdfast.uid)
    })

    it('names of his do not stand in the way of root’s', async () => {
      layoutOf('kept', join(machine.directory, 'elsewhere'), 'another')
      const elsewhere = `oci:${machine.directory}/elsewhere/kept`
      assert.equal((await holdfast('admin', 'fetch', '--quiet', '--insecure-options=image', elsewhere)).status, 0)
      refused(await run('kept'), 'AGENT_MISSING')
    })

    const PLANTED = [
      ['a link to a file of root', (at: string) => `ln -s /etc/shadow ${at}`],
      ['a FIFO', (at: string) => `mkfifo ${at}`],
      ['a directory', (at: string) => `mkdir ${at}`],
      ['a file without an end', (at: string) => `truncate -s 4T ${at}`],
      ['a link to a device', (at: string) => `ln -s /dev/zero ${at}`],
    ] as const
    for (const [what, plant] of PLANTED) {
      it(`${what} in the place of a name, a record, a blob or a tree keeps nobody, and harms no other image`, async () => {
        const name = `planted-${what.replaceAll(' ', '-')}`
        const layout = layoutOf(name)
        const places = [
          refFile(name),
          join(store, 'images', `${layout.configDigest.replace(':', '-')}.json`),
          join(store, 'trees', `${'0'.repeat(64)}.erofs`),
          join(store, 'tmp', `part-${layout.layerDigests[0]?.slice('sha256:'.length)}`),
        ]
        for (const place of places) {
          const put = await sh('admin', `rm -rf ${place}; ${plant(place)}`)
          assert.equal(put.status, 0, put.stderr)
        }
        const shadow = fs.statSync('/etc/shadow')
        assert.equal((await run(reference(name))).status, 254)
        refused(await run('kept'), 'AGENT_MISSING')
        const listed = await holdfast('root', 'image list', '--no-legend')
        assert.ok(listed.stdout.includes(reference('kept')), listed.stderr)
        assert.deepEqual(fs.statSync('/etc/shadow'), shadow)
        // a directory cannot be replaced by a rename: whose it is has to go
        if (what !== 'a directory') assert.equal((await fetch('root', name)).status, 0)
        for (const place of places) await sh('admin', `rm -rf ${place}`)
      })
    }

    it('a file of another by a second name is not made root’s, and not given to anybody', async () => {
      const layout = layoutOf('linked')
      assert.equal((await fetch('root', 'linked')).status, 0)
      const tree = treeOf(layout)
      fs.linkSync(tree, join(machine.directory, 'second name'))
      refused(await run(reference('linked')), 'IMAGE_TREE_CHANGED')
      assert.equal(fs.statSync(tree).uid, USERS.holdfast.uid)
      fs.rmSync(join(machine.directory, 'second name'))
      refused(await run(reference('linked')), 'AGENT_MISSING')
      assert.equal(fs.statSync(tree).uid, 0, 'taken over for the launch')
    })
  })

  it('a store that is root’s is not fetched into by another user, and the message says what to do', async () => {
    const own = join(machine.directory, 'own')
    fs.mkdirSync(join(own, 'images'), { recursive: true })
    const ran = await machine.exec('root', HOLDFAST_PROGRAM, 'fetch', '--quiet', '--dir', own, reference('kept'))
    refused(ran, 'IMAGE_STORE_FAILED')
    assert.match(ran.stderr, /setup-users\.sh/)
  })

  it('config/setup-users.sh hands a store of root’s over, and finds nothing to do the second time', async () => {
    const own = join(machine.directory, 'handed-over')
    layoutOf('before')
    const words = ['fetch', '--quiet', '--insecure-options=image', '--dir', own, reference('before')]
    assert.equal((await runHere(HOLDFAST_PROGRAM, words)).status, 0, 'on a machine without the users')
    const setUp = (): Promise<Ran> => machine.exec('root', join(PROJECT_ROOT, 'config/setup-users.sh'), own)
    const first = await setUp()
    assert.equal(first.status, 0, first.stderr)
    assert.match(first.stdout, /refs: root:root 750 is holdfast:holdfast-admin 3775 now/)
    assert.deepEqual(await setUp(), { status: 0, stdout: 'setup-users: nothing was to be done\n', stderr: '' })
    const listed = await machine.exec('looker', HOLDFAST_PROGRAM, 'image', 'list', '--dir', own)
    assert.match(listed.stdout, /before/)
    layoutOf('before', machine.directory, 'changed')
    assert.equal((await machine.exec('root', HOLDFAST_PROGRAM, ...words)).status, 0)
  })
})

/** A pod that ended, with the files that tell of it. @returns its directory */
function putPod(store: string): string {
  const pod = join(store, 'pods/run', UUID)
  const lookers = USERS.looker.groups[1] === 'holdfast' ? 64_101 : Number.NaN
  const manifest = (value: string) => ({
    apps: [
      {
        name: 'web',
        image: { id: `sha512-${'a'.repeat(64)}`, name: 'example.com/web' },
        app: { exec: ['/f'], user: '0', group: '0', environment: [{ name: 'TOKEN', value }] },
      },
    ],
  })
  fs.rmSync(pod, { recursive: true, force: true })
  fs.mkdirSync(join(pod, 'status'), { recursive: true })
  fs.mkdirSync(join(store, 'pods/exited-garbage'), { recursive: true })
  for (const directory of [join(store, 'pods'), join(store, 'pods/run'), pod]) {
    fs.chownSync(directory, 0, lookers)
    fs.chmodSync(directory, 0o750)
  }
  fs.writeFileSync(join(pod, 'pod'), JSON.stringify(manifest(SECRET)), { mode: 0o600 })
  fs.writeFileSync(join(pod, 'redaction-key'), 'k', { mode: 0o600 })
  const launch = { pod: { manifest: manifest('hmac') }, images: [], network: 'none' }
  fs.writeFileSync(join(pod, 'launch.json'), JSON.stringify({ launch, mode: 'enforce' }), { mode: 0o644 })
  fs.writeFileSync(join(pod, 'status/web'), '0')
  return pod
}
