import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs, { closeSync } from 'node:fs'
import path from 'node:path'
import { createPod, findPod, listPods, movePod, newPodUuid, removePod } from '../../../stage1/pod/index.ts'
import { busyboxTree, ended, PodFixture, podsImpossible, putOciImage, said } from '../../support/pods.ts'

const GIVEN_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

describe('holdfast list, status and rm', () => {
  let pods: PodFixture

  before(async function () {
    const why = podsImpossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    pods = await PodFixture.start()
    putOciImage(pods.dir, busyboxTree(pods.work), {
      name: 'docker://test.invalid/busybox:1',
      cmd: ['sh'],
      env: ['PATH=/bin'],
    })
  })
  after(async () => {
    await pods?.stop()
  })
  afterEach(async () => {
    for (const pod of listPods(pods.dir)) await removePod(pods.dir, pod)
  })

  it('print an empty list as [] and as a header alone', async () => {
    assert.deepEqual((await pods.cli(['list', '--format=json', ...pods.dirOption])).stdout, '[]\n')
    assert.match((await pods.cli(['list', ...pods.dirOption])).stdout, /^UUID +APP +IMAGE NAME +STATE/)
    assert.equal((await pods.cli(['list', '--no-legend', ...pods.dirOption])).stdout, '')
  })

  it('show a pod from start to end, with RFC 3339 times', async () => {
    const child = pods.startRun(['busybox', '--', 'sh', '-c', 'echo up; exec sleep 1000'])
    const end = ended(child)
    await said(child, 'up')
    const [running] = JSON.parse((await pods.cli(['list', '--format=json', ...pods.dirOption])).stdout)
    assert.equal(running.state, 'running')
    assert.equal(running.mode, 'enforce')
    assert.match(running.createdAt, GIVEN_TIME)
    assert.match(running.startedAt, GIVEN_TIME)
    assert.deepEqual(
      running.apps.map((a: { name: string; exitStatus: unknown }) => [a.name, a.exitStatus]),
      [['busybox', null]],
    )
    const busy = await pods.cli(['rm', running.uuid, ...pods.dirOption])
    assert.equal(busy.status, 254)
    assert.match(busy.stderr, /POD_BUSY/)
    const waiting = pods.cli(['status', '--wait', '--format=json', running.uuid.slice(0, 8), ...pods.dirOption])
    child.kill('SIGTERM')
    await end
    const ended1 = JSON.parse((await waiting).stdout)
    assert.equal(ended1.state, 'exited')
    assert.equal(ended1.apps[0].exitStatus, 143)
    const table = await pods.cli(['list', '--no-legend', '--full', ...pods.dirOption])
    assert.match(
      table.stdout,
      new RegExp(`^${running.uuid}  busybox  docker://test.invalid/busybox:1  exited  143  enforce`),
    )
    fs.rmSync(path.join(pods.dir, 'pods/run', running.uuid, 'summary.json')) // that pods of older versions have none of
    assert.equal((await pods.cli(['list', '--no-legend', '--full', ...pods.dirOption])).stdout, table.stdout)
  })

  it('show who vouched for what was launched, as it was measured, to people and programs', async () => {
    const file = path.join(pods.work, 'vouched')
    assert.equal((await pods.run(['--uuid-file-save', file, 'busybox', '--', 'true'])).status, 0)
    const uuid = fs.readFileSync(file, 'utf8')
    const { stdout } = await pods.cli(['status', '--uuid-file', file, ...pods.dirOption])
    const shown = pods.agent.launches.at(-1) as { images: { tree: string; verification: string }[] } // what it was asked
    const [image] = shown.images
    assert.ok(image)
    for (const line of [`tree=${image.tree}`, `verified=${image.verification}`, 'signer=nobody']) {
      assert.ok(stdout.includes(`\napp-busybox-${line}\n`), `${line} in ${stdout}`)
    }
    assert.match(stdout, /\nstage1=nspawn sha512-[0-9a-f]{64} (full-file|stat-cache) erofs-verity-/)
    const [listed] = JSON.parse((await pods.cli(['list', '--format=json', ...pods.dirOption])).stdout)
    const { stdout: alone } = await pods.cli(['cat-manifest', '--provenance', uuid, ...pods.dirOption])
    assert.equal(listed.apps[0].provenance.tree, image.tree)
    assert.deepEqual(listed.apps[0].provenance.signers, [])
    assert.deepEqual(JSON.parse(alone).apps[0].provenance, listed.apps[0].provenance)
    assert.deepEqual(JSON.parse(alone).stage1, listed.stage1)
  })

  it('have no provenance of a pod that was not launched', async () => {
    const pod = createPod(pods.dir, newPodUuid())
    closeSync(pod.fd)
    const refused = await pods.cli(['cat-manifest', '--provenance', pod.uuid, ...pods.dirOption])
    assert.deepEqual([refused.status, refused.stdout], [254, ''])
    assert.match(refused.stderr, /was not launched/)
    const [listed] = JSON.parse((await pods.cli(['list', '--format=json', ...pods.dirOption])).stdout)
    assert.deepEqual([listed.stage1, listed.relaxed], [null, null])
  })

  it('find a pod by any unique beginning, and say why they do not', async () => {
    const a = createPod(pods.dir, newPodUuid())
    closeSync(a.fd)
    assert.match((await pods.cli(['status', a.uuid.slice(0, 5), ...pods.dirOption])).stdout, /^state=aborted-prepare\n/)
    const unknown = await pods.cli(['status', 'ffff0000-0000', ...pods.dirOption])
    assert.deepEqual([unknown.status, unknown.stdout], [254, ''])
    assert.match(unknown.stderr, /^holdfast status: .*POD_NOT_FOUND\)\n/)
    for (const bad of [
      ['status', '../run'],
      ['rm'],
      ['rm', '--uuid-file', '/nonexistent'],
      ['status', '--format=xml', 'a'],
      ['list', '--no-such-option'],
    ]) {
      const run = await pods.cli([...bad, ...pods.dirOption])
      assert.deepEqual([run.status, run.stdout], [254, ''], bad.join(' '))
      assert.notEqual(run.stderr, '')
    }
  })

  it('know a pod whose stage0 was killed in the middle, and remove it', async () => {
    pods.agent.changes = { answer: () => 'hang' }
    const asked = new Promise<string>((resolve) => {
      pods.agent.changes = { answer: () => 'hang', before: resolve }
    })
    const child = pods.startRun(['busybox', '--', 'true'])
    const end = ended(child)
    const directory = await asked
    const uuid = path.basename(directory)
    assert.match((await pods.cli(['status', uuid, ...pods.dirOption])).stdout, /^state=running\n/)
    child.kill('SIGKILL')
    await end
    assert.match((await pods.cli(['status', uuid, ...pods.dirOption])).stdout, /^state=exited\n/)
    assert.equal((await pods.cli(['rm', uuid, ...pods.dirOption])).status, 0)
    assert.equal(fs.existsSync(directory), false)
    pods.agent.changes = {}
  })

  it('show a pod that cannot be read beside the others, and exit with 254', async () => {
    const good = createPod(pods.dir, newPodUuid())
    const bad = createPod(pods.dir, newPodUuid())
    fs.writeFileSync(path.join(bad.path, 'pod'), '{"acKind":')
    for (const pod of [good, bad]) closeSync(pod.fd)
    const run = await pods.cli(['list', '--full', '--no-legend', ...pods.dirOption])
    assert.equal(run.status, 254)
    assert.match(run.stdout, new RegExp(good.uuid))
    assert.match(run.stderr, new RegExp(bad.uuid))
  })

  for (const state of ['embryo', 'prepare', 'prepared', 'run', 'exited-garbage', 'garbage'] as const) {
    it(`let a pod be removed from ${state} once it is unlocked, and not before`, async () => {
      const pod = createPod(pods.dir, newPodUuid())
      const moved = state === 'prepare' ? pod : movePod(pods.dir, pod, state)
      assert.equal(moved.path, findPod(pods.dir, pod.uuid).path)
      await assert.rejects(() => removePod(pods.dir, findPod(pods.dir, pod.uuid)), { code: 'POD_BUSY' })
      closeSync(pod.fd)
      await removePod(pods.dir, findPod(pods.dir, pod.uuid))
      assert.throws(() => findPod(pods.dir, pod.uuid), { code: 'POD_NOT_FOUND' })
    })
  }

  it('remove a pod whose app did all it could to stay', async () => {
    const file = path.join(pods.work, 'resists')
    const script =
      'cd /tmp; ln -s /etc link; touch "$(printf "\\377\\n-rf")"; mkdir "$(printf "\\376")"; mkfifo pipe; chmod 0 /tmp; ' +
      'n=$(printf "%0200d" 0); while mkdir $n && cd $n; do touch x; done 2>/dev/null; echo done'
    const run = await pods.run(['--uuid-file-save', file, 'busybox', '--', 'sh', '-c', script])
    assert.equal(run.stdout, 'done\n')
    const uuid = fs.readFileSync(file, 'utf8')
    // deeper than the app could go by itself: the longest path of the host ends in the middle
    const upper = path.join(pods.dir, 'pods/run', uuid, 'apps/busybox/upper')
    const deep = Array.from({ length: 12 }, () => 'd'.repeat(250)).join('/')
    fs.mkdirSync(path.join(upper, deep), { recursive: true })
    execFileSync('sh', ['-c', `cd "$1" && mkdir -p "${deep}"`, 'sh', path.join(upper, deep)])
    const removed = await pods.cli(['rm', uuid, ...pods.dirOption])
    assert.deepEqual([removed.status, removed.stderr], [0, ''])
    assert.equal(fs.existsSync(path.join(pods.dir, 'pods/exited-garbage', uuid)), false)
    assert.ok(fs.existsSync('/etc/passwd'))
  })

  it('take no foreign directory for a pod, and follow no link out of pods/', () => {
    const foreign = path.join(pods.dir, 'pods/run')
    fs.mkdirSync(path.join(foreign, 'not-a-uuid'), { recursive: true })
    const link = path.join(foreign, newPodUuid())
    fs.symlinkSync('/etc', link)
    try {
      assert.deepEqual(listPods(pods.dir), [])
    } finally {
      fs.rmSync(link)
      fs.rmdirSync(path.join(foreign, 'not-a-uuid'))
    }
  })

  it('remove only cgroups of the pod’s own, whatever its plan says', async () => {
    const pod = createPod(pods.dir, newPodUuid())
    const precious = path.join(pods.work, 'holdfast', 'precious')
    fs.mkdirSync(precious, { recursive: true })
    fs.mkdirSync(path.join(pod.path, 'plan'))
    fs.writeFileSync(path.join(pod.path, 'plan/cgroups.top'), `${precious}\0${precious}/../precious\0relative\0`)
    closeSync(pod.fd)
    await removePod(pods.dir, findPod(pods.dir, pod.uuid))
    assert.ok(fs.existsSync(precious))
  })

  it('report a full disk as such', async () => {
    const small = path.join(pods.work, 'small')
    fs.mkdirSync(small)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,nr_inodes=8', 'tmpfs', small])
    try {
      assert.throws(
        () => createPod(small, newPodUuid()),
        (err) =>
          err instanceof Error &&
          'code' in err &&
          err.code === 'POD_DIRECTORY_FAILED' &&
          'hint' in err &&
          /full/.test(String(err.hint)),
      )
    } finally {
      execFileSync('umount', [small])
    }
  })

  it('teach: each command has help with an example', async () => {
    for (const name of ['run', 'fetch', 'list', 'status', 'rm']) {
      const help = await pods.cli([name, '--help'])
      assert.equal(help.status, 0)
      assert.match(help.stdout, /Examples?:\n {2}holdfast /)
    }
  })
})
