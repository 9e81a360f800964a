import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { type Ended, ended, podsImpossible, STAGE1_PROGRAM } from '../../support/pods.ts'
import { podManifest, Stage1Pods, type StartedPod, shellApp, statusOf, whenFile } from '../../support/stage1-pods.ts'

/** Files of the profile that differ from what the plan has of the app. */
interface Changes {
  readonly argv: readonly string[]
  readonly env?: readonly string[]
  readonly user?: string
  readonly cwd?: string
}

const list = (...items: readonly string[]): Uint8Array => new TextEncoder().encode(items.map((i) => `${i}\0`).join(''))

for (const users of ['host', 'private'] as const) {
  describe(`holdfast-stage1 exec, ${users} users`, () => {
    let pods: Stage1Pods
    let pod: StartedPod
    let profiles = 0

    before(async function () {
      const why = podsImpossible()
      if (why !== undefined) {
        console.log(`      skipped: ${why}`)
        this.skip()
      }
      pods = new Stage1Pods((root) => fs.symlinkSync('/proc/self/exe', path.join(root, 'bin/myself')))
      pod = pods.start(
        podManifest(
          [
            shellApp('app', 'echo main > /file; exec sleep 1000', {
              environment: [
                { name: 'PATH', value: '/bin' },
                { name: 'COLOUR', value: 'blue' },
              ],
              workingDirectory: '/tmp',
              supplementaryGIDs: [77],
              isolators: [
                { name: 'os/linux/capabilities-retain-set', value: { set: ['CAP_CHOWN'] } },
                { name: 'os/linux/oom-score-adj', value: 17 },
              ],
            }),
            shellApp('other', 'exec sleep 1000'),
          ],
          users === 'private' ? { isolators: [{ name: 'holdfast/private-users', value: true }] } : {},
        ),
        { firstUser: 0x7abc_0000 },
      )
      await whenFile(pod, 'status/_pod.json', (text) => text.includes('"running"'))
      await whenFile(pod, 'apps/app/upper/file')
    })
    after(async () => {
      await pods?.stop()
    })

    const text = (name: string): string => new TextDecoder().decode(pod.plan.get(name))
    const membersOf = (app: string): number[] =>
      fs
        .readFileSync(text(`apps/${app}/enter.members`).slice(0, -1), 'utf8')
        .trim()
        .split('\n')
        .map(Number)
    /** The app's own process, as the host numbers it. */
    const processOf = (app: string): number =>
      membersOf(app).find(
        (pid) =>
          fs.readFileSync(`/proc/${pid}/status`, 'utf8').match(/^NSpid:.*\t(\d+)$/m)?.[1] ===
          String(statusOf(pod, app)['pid']),
      ) ?? assert.fail(`no process of ${app}`)

    function exec(changes: Changes, pid = processOf('app'), streams = 'pass'): Promise<Ended> {
      const directory = path.join(pods.work, `profile-${profiles++}`)
      fs.mkdirSync(directory)
      const profile = new Map<string, Uint8Array>()
      for (const [name, content] of pod.plan)
        if (name.startsWith('apps/app/')) profile.set(path.basename(name), content)
      profile.set('cgroups.join', list(...text('apps/app/enter.join').split('\0').slice(0, -1)))
      profile.set('cgroup-members', list(text('apps/app/enter.members').slice(0, -1)))
      profile.set('argv', list(...changes.argv))
      if (changes.env !== undefined) profile.set('env', list(...changes.env))
      if (changes.user !== undefined) profile.set('user', list(changes.user, ''))
      if (changes.cwd !== undefined) profile.set('cwd', list(changes.cwd))
      for (const [name, content] of profile) fs.writeFileSync(path.join(directory, name), content)
      return ended(
        spawn(STAGE1_PROGRAM, ['exec', directory, String(pid), streams], { stdio: ['ignore', 'pipe', 'pipe'] }),
      )
    }
    const sh = (script: string, changes: Partial<Changes> = {}): Promise<Ended> =>
      exec({ argv: ['sh', '-c', script], ...changes })

    it('runs in the app’s root, environment and directory and gives the status', async () => {
      const { status, stdout, stderr } = await sh('cat /file; echo $COLOUR $PWD; id -G; exit 7')
      assert.deepEqual([status, stdout, stderr], [7, 'main\nblue /tmp\n0 77 1004\n', ''])
      assert.equal((await sh('kill -9 $$')).status, 137)
      assert.equal((await exec({ argv: ['absent'] })).status, 127)
    })

    it('is confined as the app is', async () => {
      const show = 'grep -E "^(CapPrm|CapEff|CapBnd|Seccomp|NoNewPrivs):" /proc/self/status; cat /proc/self/cgroup'
      const inside = await sh(show)
      assert.match(inside.stdout, /CapPrm:\t0000000000000001\nCapEff:\t0000000000000001\nCapBnd:\t0000000000000001/)
      assert.match(inside.stdout, /Seccomp:\t2\n/)
      const own = fs.readFileSync(`/proc/${processOf('app')}/cgroup`, 'utf8')
      const groups = (of: string): string[] => of.split('\n').filter((line) => /:(memory|cpu|pids|devices):/.test(line))
      const child = await new Promise<string>((resolve, reject) => {
        // seen from the host while it runs
        void sh('echo > /running; until [ -e /go ]; do sleep 0.05; done; rm /go /running').catch(reject)
        void whenFile(pod, 'apps/app/upper/running')
          .then(() => {
            const entered = Math.max(...membersOf('app'))
            resolve(fs.readFileSync(`/proc/${entered}/cgroup`, 'utf8'))
          })
          .catch(reject)
      })
      assert.deepEqual(groups(child), groups(own))
      assert.equal((await sh('echo > /go')).status, 0)
      assert.notEqual((await sh('mount -t tmpfs none /tmp')).status, 0)
      assert.equal((await sh('cat /proc/self/oom_score_adj')).stdout, '17\n')
      const users = fs.readFileSync(`/proc/${processOf('app')}/uid_map`, 'utf8')
      assert.equal((await sh('cat /proc/self/uid_map')).stdout.split(/\s+/)[2], users.split(/\s+/)[2])
    })

    it('does not show itself, the supervisor or the other app’s root', async () => {
      const { stdout } = await sh('ps -o pid,args; ls /; ls -l /proc/self/fd')
      assert.doesNotMatch(stdout, /holdfast-stage1|nspawn| s1\b|\/apps/)
      assert.deepEqual(
        [...stdout.matchAll(/ ([0-9]+) ->/g)].map((m) => Number(m[1])).filter((n) => n > 3),
        [],
      )
    })

    it('takes user, variables and directory from the caller', async () => {
      const { stdout } = await sh('id -u; id -g; echo $COLOUR$MORE $PWD; grep CapEff /proc/self/status', {
        user: 'web',
        env: ['PATH=/bin', 'COLOUR=red', 'MORE=!'],
        cwd: '/bin',
      })
      assert.equal(stdout, '1001\n1002\nred! /bin\nCapEff:\t0000000000000000\n')
    })

    it('joins no process that is not the app’s', async () => {
      for (const pid of [1, process.pid, pod.child.pid ?? 0, processOf('other')]) {
        const { status, stderr } = await exec({ argv: ['true'] }, pid)
        assert.deepEqual(
          [status, stderr],
          [254, `holdfast exec: process ${pid} is none of the app; it has ended, or the pod has\n`],
        )
      }
      assert.equal((await exec({ argv: ['true'] }, 4194303)).status, 254)
    })

    it('is a sealed copy where the app executes it, not a file of the host', async () => {
      const { status, stderr, stdout } = await exec({ argv: ['/bin/myself', '--version'] })
      assert.deepEqual([status, stdout], [0, 'holdfast-stage1 interface 1\n'], stderr)
      const before = fs.statSync(STAGE1_PROGRAM).mtimeMs
      const written = await sh('echo x > /proc/self/exe')
      assert.notEqual(written.status, 0)
      assert.equal(fs.statSync(STAGE1_PROGRAM).mtimeMs, before)
    })

    it('has a terminal of the pod where one is wanted', async () => {
      const script = 'test -t 0 && test -t 1 && tty && stat -c %u $(tty) && echo hi > /dev/tty; exit 3'
      const { status, stdout } = await exec({ argv: ['sh', '-c', script], user: 'web' }, processOf('app'), 'terminal')
      assert.equal(status, 3)
      assert.match(stdout, /^\/dev\/pts\/[0-9]+\r\n1001\r\nhi\r\n$/)
    })

    it('ends its program with itself', async () => {
      const entering = sh('echo > /started; exec sleep 1000')
      await whenFile(pod, 'apps/app/upper/started')
      const members = (): number[] => membersOf('app')
      const parent = (pid: number): number =>
        Number(/^PPid:\t(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
      const entered = members().find((pid) => pid !== processOf('app')) ?? assert.fail('not there')
      process.kill(parent(entered), 'SIGKILL')
      await entering
      const until = Date.now() + 5000
      while (members().includes(entered)) {
        assert.ok(Date.now() < until, 'it lives on')
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
    })
  })
}
