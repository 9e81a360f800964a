import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { connect } from 'node:net'
import path from 'node:path'
import { utf8 } from '../../../attestation/base/index.ts'
import { MAX_REQUEST_BYTES } from '../../../stage1/cli/stage0-protocol.ts'
import { HOLDFAST_PROGRAM, type Ran, run } from '../../support/holdfast.ts'
import { type AnswerChanges, busyboxTree, PodFixture, podsImpossible, putOciImage, said } from '../../support/pods.ts'
import { handedOver, stage0Records, stage0SocketIn } from '../../support/stage0.ts'

describe('the stage0 server (agent and verifier stand in)', () => {
  let pods: PodFixture
  let nodeOptions: string[]

  before(async function () {
    const why = podsImpossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    pods = await PodFixture.start({ stage0: true })
    putOciImage(pods.dir, busyboxTree(pods.work), {
      name: 'docker://test.invalid/busybox:1',
      cmd: ['sh'],
      env: ['PATH=/bin'],
    })
    const { socket, trust } = pods.agent
    const own = ['--dir', pods.dir, '--agent', socket, '--trust', trust, '--stage0', stage0SocketIn(pods.work)]
    const audits = path.join(pods.work, 'agent.yaml')
    fs.writeFileSync(audits, 'mode: audit\n')
    nodeOptions = [...own, '--agent-config', audits, ...pods.configOptions]
  })
  after(async () => {
    await pods?.stop()
  })
  afterEach(async () => {
    if (pods === undefined) return
    pods.agent.changes = {}
    const usable = await launch('busybox', '--', 'sh', '-c', 'echo alive; exit 3')
    assert.deepEqual(usable, { status: 3, stdout: 'alive\n', stderr: '' })
    assert.equal(stage0Records(pods.work).at(-1)?.msg, 'handed over')
  })

  const launch = (...args: readonly string[]): Promise<Ran> => run(HOLDFAST_PROGRAM, ['run', ...nodeOptions, ...args])
  const events = (): string[] =>
    stage0Records(pods.work).map(({ msg, why, code }) => `${msg} ${why ?? code ?? ''}`.trim())
  /** Waits for what happens after the client has ended. */
  const tells = (event: string): Promise<true> =>
    pods.stage0?.waitUntil(event, async () => (events().at(-1) === event ? true : undefined)) ?? Promise.reject()
  const pod = (uuid: string): string => {
    const states = fs.readdirSync(path.join(pods.dir, 'pods'))
    return states.find((state) => fs.existsSync(path.join(pods.dir, 'pods', state, uuid))) ?? 'nowhere'
  }

  describe('says exactly what a process of its own says', () => {
    const busybox = ['busybox', '--', 'echo', 'STARTED']
    const answering = (status: number, body: unknown): AnswerChanges => ({
      answer: () => ({ status, body: JSON.stringify(body) }),
    })
    const commands: readonly { name: string; args: readonly string[]; changes?: AnswerChanges }[] = [
      { name: 'no image', args: [] },
      { name: 'an unknown option', args: ['--no-such-option', ...busybox] },
      { name: 'an option without its value', args: ['busybox', '--user'] },
      { name: 'an ambiguous option', args: ['--user', '--group', 'x', ...busybox] },
      { name: 'a network that is none', args: ['--net', 'bridge', ...busybox] },
      { name: 'a limit of the wrong form', args: ['--memory', 'lots', ...busybox] },
      { name: 'a variable without a value', args: ['--set-env', 'A', ...busybox] },
      { name: 'a variable without a name', args: ['--set-env', '=x', ...busybox] },
      { name: 'an image that is not there', args: ['no-such-image'] },
      { name: 'an image by a bad name', args: ['docker://'] },
      { name: 'a stage1 that is not there', args: ['--stage1', 'no-such-stage1', ...busybox] },
      { name: 'a stage1 file that is not there', args: ['--stage1', 'absent/stage1.aci', ...busybox] },
      { name: 'an app image as stage1', args: ['--stage1', 'busybox', ...busybox] },
      { name: 'a UUID file that cannot be written', args: ['--uuid-file-save', 'absent/uuid', ...busybox] },
      { name: 'no agent', args: ['--agent', 'absent.sock', ...busybox] },
      { name: 'an agent that is a file', args: ['--agent', '/etc/passwd', ...busybox] },
      { name: 'no trust file', args: ['--trust', 'absent.json', ...busybox] },
      { name: 'a trust file that is none', args: ['--trust', '/etc/passwd', ...busybox] },
      { name: 'a data directory that is a file', args: ['--dir', '/etc/passwd', ...busybox] },
      {
        name: 'a denial with reasons',
        args: busybox,
        changes: answering(403, { decision: 'denied', code: 'LAUNCH_DENIED', reasons: ['no', 'é'] }),
      },
      {
        name: 'a denial of 300 KB',
        args: busybox,
        changes: answering(403, { decision: 'denied', code: 'X', reasons: Array(150).fill('x'.repeat(2000)) }),
      },
      {
        name: 'an agent that fails',
        args: busybox,
        changes: answering(503, { code: 'UPLINK_DOWN', message: 'verifier unreachable', hint: 'see X' }),
      },
      { name: 'an agent that hangs up', args: busybox, changes: { answer: () => 'hang-up' } },
      {
        name: 'a ticket for another node',
        args: busybox,
        changes: { changeClaims: (c) => Object.assign(c, { sub: 'cd'.repeat(32) }) },
      },
      {
        name: 'a pod that is started, under an agent that does not enforce',
        args: ['busybox', '--', 'sh', '-c', 'echo out; echo err >&2; exit 5'],
        changes: { mode: 'audit' },
      },
      { name: 'help', args: ['--help'] },
    ]
    for (const { name, args, changes } of commands) {
      it(`for ${name}`, async () => {
        pods.agent.changes = changes ?? {}
        const before = stage0Records(pods.work).length
        const warm = await launch(...args)
        assert.ok(stage0Records(pods.work).length > before || args[0] === '--help', 'the server had it')
        assert.deepEqual(warm, await launch('--stage0', 'none', ...args))
        if (args[0] !== '--help' && changes?.mode === undefined) {
          assert.deepEqual([warm.status, warm.stdout], [254, ''])
          assert.match(warm.stderr, /^holdfast run: /)
        }
      })
    }
  })

  describe('works as if it were the caller', () => {
    const from = (cwd: string, mask: string, ...args: readonly string[]): Promise<Ran> =>
      run('sh', ['-c', `cd '${cwd}' && umask ${mask} && exec "$@"`, 'sh', HOLDFAST_PROGRAM, 'run', ...args])

    it("takes relative paths from the caller's working directory, and new files from its umask", async () => {
      const name = path.basename(pods.work)
      const count = handedOver(pods.work)
      for (const mask of ['000', '027', '077']) {
        const file = `umask-${mask}`
        const { status, stderr } = await from(
          ...([path.dirname(pods.work), mask, '--dir', `./${name}/data`, '--agent', `${name}/agent.sock`] as const),
          ...['--trust', `${name}/trust.json`, '--stage0', stage0SocketIn(pods.work)],
          ...[
            '--local-config',
            `${name}/config`,
            '--system-config',
            '/',
            '--uuid-file-save',
            `${name}/${file}`,
            'busybox',
            '--',
            'true',
          ],
        )
        assert.deepEqual([status, stderr], [0, ''])
        const { mode } = fs.statSync(path.join(pods.work, file))
        assert.equal(mode & 0o777, 0o666 & ~Number.parseInt(mask, 8))
        const made = path.join(pods.dir, 'pods/run', fs.readFileSync(path.join(pods.work, file), 'utf8'))
        assert.equal(fs.statSync(made).mode & 0o777, 0o750)
        assert.equal(fs.statSync(path.join(made, 'apps/busybox/upper')).mode & 0o777, 0o755)
      }
      assert.equal(handedOver(pods.work), count + 3)
    })

    it("writes a pod's UUID to a file that is whole when it is there, and to what is no plain file", async () => {
      const file = path.join(pods.work, 'whole-uuid')
      fs.writeFileSync(file, 'what an earlier pod left')
      const { ino } = fs.statSync(file)
      assert.equal((await launch('--uuid-file-save', file, 'busybox', '--', 'true')).status, 0)
      assert.match(fs.readFileSync(file, 'utf8'), /^[0-9a-f-]{36}$/)
      assert.notEqual(fs.statSync(file).ino, ino, 'written in place')
      const link = path.join(pods.work, 'link-to-uuid')
      fs.symlinkSync(file, link)
      const before = fs.readFileSync(file, 'utf8')
      assert.equal((await launch('--uuid-file-save', link, 'busybox', '--', 'true')).status, 0)
      assert.ok(fs.lstatSync(link).isSymbolicLink())
      assert.notEqual(fs.readFileSync(file, 'utf8'), before)
      const nowhere = await launch('--uuid-file-save', path.join(pods.work, 'no-such/uuid'), 'busybox', '--', 'true')
      assert.notEqual(nowhere.status, 0)
      assert.match(nowhere.stderr, /cannot write \S+no-such\/uuid: ENOENT/)
    })

    it('makes the same pod for a caller with another umask and without a server', async () => {
      const file = path.join(pods.work, 'cold-uuid')
      const cold = ['--stage0', 'none', '--uuid-file-save', file, 'busybox', '--', 'true']
      assert.equal((await from('/', '077', ...nodeOptions, ...cold)).status, 0)
      const made = path.join(pods.dir, 'pods/run', fs.readFileSync(file, 'utf8'))
      assert.equal(fs.statSync(path.join(made, 'apps/busybox/upper')).mode & 0o777, 0o755)
      assert.equal(fs.statSync(file).mode & 0o777, 0o600)
    })

    it("is the caller's own child, in its session, with its standard streams; no other process is left", async () => {
      const child = spawn(
        HOLDFAST_PROGRAM,
        ['run', ...nodeOptions, 'busybox', '--', 'sh', '-c', 'echo up; cat; exit 6'],
        {
          stdio: ['pipe', 'pipe', 'inherit'],
        },
      )
      await said(child, 'up\n')
      const stat = fs.readFileSync(`/proc/${child.pid}/stat`, 'utf8')
      assert.match(stat, /\(systemd-nspawn\)/)
      const [, parent, , session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      const own = fs.readFileSync('/proc/self/stat', 'utf8')
      assert.deepEqual([parent, session], [String(process.pid), own.slice(own.lastIndexOf(')') + 2).split(' ')[3]])
      let echoed = ''
      child.stdout.on('data', (part) => {
        echoed += part
      })
      child.stdin.end('through\n')
      assert.deepEqual(await once(child, 'close'), [6, null])
      assert.equal(echoed, 'through\n')
    })

    it('holds nothing of a pod that it handed over, nor of one that was not started', async () => {
      const held = (): string[] =>
        fs
          .readdirSync(`/proc/${pods.stage0?.pid}/fd`)
          .map((fd) => fs.readlinkSync(`/proc/${pods.stage0?.pid}/fd/${fd}`))
          .filter((file) => /\/pods\/|\.erofs$|nspawn|holdfast-stage1/.test(file))
      const child = pods.startRun(['busybox', '--', 'sh', '-c', 'echo up; sleep 1000'])
      await said(child, 'up')
      assert.deepEqual(held(), [])
      const ended = once(child, 'close')
      child.kill('SIGTERM')
      await ended
      pods.agent.changes = { answer: () => 'hang-up' }
      assert.equal((await launch('busybox')).status, 254)
      assert.equal((await launch('--stage1', 'busybox', 'busybox')).status, 254)
      assert.equal((await launch('--memory', '1', '--hostname', 'x', '--dir', pods.dir, 'busybox')).status, 254)
      assert.deepEqual(held(), [])
    })

    it('leaves a launch whose image is to be fetched to the caller itself', async () => {
      const refused = await launch('docker://127.0.0.1:1/busybox:1')
      assert.match(refused.stderr, /^holdfast run: .*127\.0\.0\.1:1/)
      assert.ok(events().includes('started cold docker://127.0.0.1:1/busybox:1 is to be fetched'))
    })

    it('leaves a launch of more images than descriptors can be handed over to the caller itself', async () => {
      const images = Array<string>(250).fill('busybox')
      assert.equal((await launch(...images)).status, 254)
      assert.equal(events().at(-1), 'started cold so many images')
    })

    it('leaves callers to themselves that see another file system, or may do less', async () => {
      const args = [HOLDFAST_PROGRAM, 'run', ...nodeOptions, 'busybox', '--', 'echo', 'cold']
      const count = handedOver(pods.work)
      const others = [
        ['unshare', '--mount'],
        ['setpriv', '--regid=1', '--clear-groups'],
        ['setpriv', '--bounding-set=-net_raw', '--inh-caps=-net_raw'],
      ]
      for (const [program = '', ...options] of others) {
        const before = events().length
        assert.equal((await run(program, [...options, ...args])).stdout, 'cold\n')
        assert.deepEqual(events().slice(before), ['started cold another view of the machine'])
      }
      assert.equal(handedOver(pods.work), count)
    })
  })

  describe('trusts root alone', () => {
    it('listens with 0600, in a directory that only root writes to', async () => {
      const socket = stage0SocketIn(pods.work)
      assert.equal(fs.statSync(socket).mode & 0o777, 0o600)
      const open = path.join(pods.work, 'open')
      fs.mkdirSync(open)
      fs.chmodSync(open, 0o777)
      const refused = await run(HOLDFAST_PROGRAM, ['stage0', '--socket', path.join(open, 'x.sock')])
      assert.equal(refused.status, 254)
      assert.match(refused.stderr, /STAGE0_SOCKET_FAILED/)
    })

    it('leaves the socket of another server, and what is no socket, alone', async () => {
      const second = await run(HOLDFAST_PROGRAM, ['stage0', '--socket', stage0SocketIn(pods.work)])
      assert.match(second.stderr, /STAGE0_SOCKET_IN_USE/)
      const file = path.join(pods.work, 'file')
      fs.writeFileSync(file, 'mine')
      const other = await run(HOLDFAST_PROGRAM, ['stage0', '--socket', file])
      assert.match(other.stderr, /STAGE0_SOCKET_FAILED/)
      assert.equal(fs.readFileSync(file, 'utf8'), 'mine')
    })

    it('says nothing to another user, even where the socket lets him in', async () => {
      const socket = stage0SocketIn(pods.work)
      fs.chmodSync(pods.work, 0o711)
      fs.chmodSync(socket, 0o666)
      const text = `import socket; s = socket.socket(socket.AF_UNIX); s.connect('${socket}'); print(len(s.recv(100)))`
      const heard = await run('setpriv', ['--reuid=65534', '--clear-groups', '/usr/bin/python3', '-c', text])
      fs.chmodSync(socket, 0o600)
      assert.deepEqual([heard.stdout, heard.stderr], ['0\n', ''])
      await tells('refused')
      const command = ['--reuid=65534', '--clear-groups', HOLDFAST_PROGRAM, 'run', ...nodeOptions, 'busybox']
      assert.match((await run('setpriv', command)).stderr, /POD_UNSUPPORTED[\s\S]*sudo/)
    })
  })

  describe('bad requests end with the connection', () => {
    const withLength = (payload: Uint8Array, length = payload.length): Buffer => {
      const head = Buffer.alloc(4)
      head.writeUInt32LE(length)
      return Buffer.concat([head, payload])
    }
    const good = utf8('/\x000022\x00busybox\x00')
    const requests: readonly { name: string; bytes: Uint8Array; event: string }[] = [
      { name: 'half a length', bytes: Uint8Array.of(1, 0), event: '' },
      { name: 'half a request', bytes: withLength(good, 100), event: '' },
      { name: 'no text', bytes: withLength(Uint8Array.of(0xff, 0)), event: 'not started STAGE0_REQUEST_BAD' },
      { name: 'no request at all', bytes: withLength(new Uint8Array(0)), event: 'not started STAGE0_REQUEST_BAD' },
      {
        name: 'two requests at once',
        bytes: Buffer.concat([withLength(good), withLength(good)]),
        event: 'not started STAGE0_REQUEST_BAD',
      },
      {
        name: 'a length beyond all bounds',
        bytes: withLength(good, 0xffffffff),
        event: 'not started STAGE0_REQUEST_BAD',
      },
      {
        name: 'more than the bound',
        bytes: withLength(new Uint8Array(MAX_REQUEST_BYTES + 8)),
        event: 'not started STAGE0_REQUEST_BAD',
      },
    ]
    for (const { name, bytes, event } of requests) {
      it(`${name}: nothing is run`, async () => {
        const before = events().length
        const launches = pods.agent.launches.length
        const socket = connect(stage0SocketIn(pods.work))
        socket.on('error', () => {}) // a reset is as good an end
        socket.end(bytes)
        socket.resume()
        await once(socket, 'close')
        if (event !== '') await tells(event)
        assert.deepEqual(events().slice(before), event === '' ? [] : [event])
        assert.equal(pods.agent.launches.length, launches)
      })
    }
  })

  describe('a caller that goes away while its launch is decided', () => {
    for (const signal of ['SIGINT', 'SIGKILL'] as const) {
      it(`by ${signal}: the launch is given up, its pod is garbage`, async () => {
        const file = path.join(pods.work, `gone-${signal}`)
        let asked: (value: unknown) => void = () => {}
        const waits = new Promise((resolve) => {
          asked = resolve
        })
        pods.agent.changes = { before: asked, answer: () => 'hang' }
        const child = pods.startRun(['--uuid-file-save', file, 'busybox', '--', 'echo', 'STARTED'])
        await waits
        const uuid = fs.readFileSync(file, 'utf8')
        assert.equal(pod(uuid), 'run')
        const ended = once(child, 'close')
        child.kill(signal)
        assert.deepEqual(await ended, [null, signal])
        await tells('given up')
        assert.equal(pod(uuid), 'exited-garbage')
        assert.match((await pods.cli(['status', uuid, '--dir', pods.dir])).stdout, /^state=garbage$/m)
      })
    }
  })
})
