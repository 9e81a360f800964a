import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { acName } from '../../../stage1/manifest/index.ts'
import { readCgroupMounts } from '../../../stage1/pod/cgroups.ts'
import { podsImpossible } from '../../support/pods.ts'
import { type AppSettings, podManifest, Stage1Pods, shellApp, whenFile } from '../../support/stage1-pods.ts'

const FIRST = 0x7abd_0000
const PRIVATE = { isolators: [{ name: 'holdfast/private-users', value: true }] }

describe('a pod with private users', () => {
  let pods: Stage1Pods

  before(function () {
    const why = podsImpossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    pods = new Stage1Pods((root) => {
      fs.writeFileSync(path.join(root, 'etc/shadow'), 'of root\n', { mode: 0o600 })
      fs.appendFileSync(path.join(root, 'etc/passwd'), 'beyond:x:70000:100::/:/bin/sh\n')
      fs.writeFileSync(path.join(root, 'etc/of-web'), 'of web\n', { mode: 0o600 })
      fs.chownSync(path.join(root, 'etc/of-web'), 1001, 1002)
    })
  })
  after(async () => {
    await pods?.stop()
  })

  const sh = (script: string, more: Partial<AppSettings> = {}) =>
    pods.run(podManifest([shellApp('app', script, more)], PRIVATE), { firstUser: FIRST })
  /** User and group of a file, as the host has them. */
  const owner = (file: string): number[] => {
    const { uid, gid } = fs.lstatSync(file)
    return [uid, gid]
  }

  it('has root that is a user of its own outside, with the files of its image', async () => {
    const script = `cat /proc/self/uid_map /proc/self/gid_map /etc/shadow; stat -c %u:%g / /etc/of-web
      echo more >> /etc/of-web; touch /mine; mkdir /given; chown 65535:65535 /given; chown 65536 /given || echo refused`
    const pod = await sh(script)
    assert.equal(pod.status, 0, pod.stderr)
    const [users, groups, ...rest] = pod.stdout.trim().split('\n')
    for (const map of [users, groups]) assert.match(map ?? '', new RegExp(`^ *0 +${FIRST} +65536$`))
    assert.deepEqual(rest, ['of root', '0:0', '1001:1002', 'refused'])
    const upper = path.join(pod.path, 'apps/app/upper')
    assert.deepEqual(owner(upper), [FIRST, FIRST])
    assert.deepEqual(owner(path.join(upper, 'mine')), [FIRST, FIRST])
    assert.deepEqual(owner(path.join(upper, 'etc/of-web')), [FIRST + 1001, FIRST + 1002])
    assert.deepEqual(owner(path.join(upper, 'given')), [FIRST + 65535, FIRST + 65535])
  })

  it('is that user to the kernel of the host', async () => {
    const pod = pods.start(podManifest([shellApp('app', 'touch /up; exec sleep 100')], PRIVATE), { firstUser: FIRST })
    await whenFile(pod, 'apps/app/upper/up')
    const members = new TextDecoder().decode(pod.plan.get('apps/app/enter.members')).slice(0, -1)
    const [pid] = fs.readFileSync(members, 'utf8').split('\n')
    assert.match(fs.readFileSync(`/proc/${pid}/status`, 'utf8'), new RegExp(`^Uid:\t${FIRST}\t${FIRST}`, 'm'))
    assert.notEqual(fs.readlinkSync(`/proc/${pid}/ns/user`), fs.readlinkSync('/proc/self/ns/user'))
    pod.child.kill('SIGTERM')
    assert.equal((await pod.end).status, 143)
  })

  it('reads nothing of root of the host in a volume, and owns its empty ones', async () => {
    const source = path.join(pods.work, 'volume')
    fs.mkdirSync(source)
    fs.writeFileSync(path.join(source, 'secret'), 'secret\n', { mode: 0o600 })
    fs.writeFileSync(path.join(source, 'public'), 'public\n', { mode: 0o644 })
    fs.writeFileSync(path.join(source, 'given'), 'given\n', { mode: 0o600 })
    fs.chownSync(path.join(source, 'given'), FIRST, FIRST)
    const pod = await pods.run(
      podManifest(
        [
          shellApp('app', 'cat /v/secret; cat /v/public /v/given; touch /v/new; touch /e/new; stat -c %u:%g:%a /e', {
            mounts: [
              { volume: acName('v'), path: '/v' },
              { volume: acName('e'), path: '/e' },
            ],
          }),
        ],
        {
          ...PRIVATE,
          volumes: [
            { name: acName('v'), kind: 'host', source, readOnly: false },
            { name: acName('e'), kind: 'empty', uid: 7, gid: 8, mode: '0750' },
          ],
        },
      ),
      { firstUser: FIRST },
    )
    assert.equal(pod.stdout, 'public\ngiven\n7:8:750\n')
    assert.match(pod.stderr, /secret.*Permission denied[\s\S]*new.*Permission denied/)
    assert.deepEqual(owner(path.join(pod.path, 'volumes/e')), [FIRST + 7, FIRST + 8])
    assert.deepEqual(owner(path.join(pod.path, 'volumes/e/new')), [FIRST, FIRST])
  })

  it('is confined and counted as others are, takes low ports, and keeps its names files', async () => {
    const script = `grep -E '^(CapEff|Seccomp):' /proc/self/status; cat /proc/self/cgroup
      nc -l -p 80 < /dev/null & until netstat -ltn | grep ':80 '; do kill -0 $! || break; done; kill $!
      stat -c %u /etc/hosts; mount -t tmpfs x /tmp || echo no`
    const manifest = podManifest(
      [
        shellApp('app', script, {
          isolators: [{ name: 'os/linux/capabilities-retain-set', value: { set: ['CAP_CHOWN', 'CAP_SYS_MODULE'] } }],
        }),
      ],
      PRIVATE,
    )
    const { status, stdout, stderr } = await pods.run(manifest, { firstUser: FIRST }, (plan) =>
      plan.set('hosts', new TextEncoder().encode('127.0.0.1 localhost\n')),
    )
    assert.equal(status, 0, stderr)
    assert.match(stdout, /CapEff:\t0000000000000001\nSeccomp:\t2\n/)
    assert.match(stdout, /\/app-app\n/)
    assert.match(stdout, /:80 .*LISTEN/)
    assert.match(stdout, /\n0\nno\n$/)
  })

  it('joins groups of v2 as well, and has status and log belong to root of the host', async () => {
    const cgroups = { ...readCgroupMounts(), v2Controllers: ['none-that-is-switched-on'] }
    const pod = await pods.run(podManifest([shellApp('app', 'cat /proc/self/cgroup; exit 5')], PRIVATE), {
      ...{ firstUser: FIRST, cgroups },
      streams: { kind: 'log', maxBytes: 1 << 20, files: 1 },
    })
    assert.equal(pod.status, 5, pod.stderr)
    const log = fs.readFileSync(path.join(pod.path, 'log/app.log'), 'utf8')
    if (cgroups.v2 !== undefined) assert.match(log, / 0::\/.*\/app-app\n/)
    for (const file of ['log/app.log', 'status/app', 'status/app.json']) {
      assert.deepEqual(owner(path.join(pod.path, file)), [0, 0], file)
    }
  })

  it('has no user beyond its own', async () => {
    const { status, stderr } = await sh('true', { user: 'beyond' })
    assert.deepEqual([status, stderr], [125, 'holdfast app: setresuid 70000: Invalid argument\n'])
  })
})
