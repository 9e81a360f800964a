import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import {
  type AnswerChanges,
  busyboxTree,
  type Ended,
  ended,
  PodFixture,
  podsImpossible,
  putOciImage,
  said,
  treeFile,
} from '../../support/pods.ts'
import { handedOver } from '../../support/stage0.ts'
import { inBothWays } from '../../support/whole-path.ts'

inBothWays('holdfast run under real systemd-nspawn (agent and verifier stand in)', ({ stage0 }) => {
  let pods: PodFixture
  let tree = ''

  before(async function () {
    const why = podsImpossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    pods = await PodFixture.start({ stage0 })
    tree = busyboxTree(pods.work, (root) => {
      fs.writeFileSync(path.join(root, 'etc/not-executable'), 'x')
      fs.symlinkSync('/proc/1/root/s1', path.join(root, 'link'))
      fs.symlinkSync('tmp', path.join(root, 'inner'))
      fs.appendFileSync(path.join(root, 'etc/passwd'), 'nobody-at-all:x:4294967295:0::/:/bin/sh\n')
      fs.appendFileSync(path.join(root, 'etc/group'), 'no-group:x:4294967295:\n')
      fs.writeFileSync(path.join(root, 'bin/lost'), '#!/bin/nothing\n', { mode: 0o755 })
      const source = path.join(pods.work, 'euid.c')
      fs.writeFileSync(
        source,
        '#include <stdio.h>\n#include <unistd.h>\nint main(void) { return printf("%d\\n", geteuid()) < 0; }\n',
      )
      execFileSync('gcc', ['-static', '-o', path.join(root, 'bin/euid'), source])
      fs.chmodSync(path.join(root, 'bin/euid'), 0o4755)
    })
    putOciImage(pods.dir, tree, {
      name: 'docker://test.invalid/busybox:1',
      cmd: ['sh'],
      env: ['PATH=/bin', 'COLOUR=blue'],
    })
    putOciImage(pods.dir, tree, {
      name: 'docker://test.invalid/echo:1',
      entrypoint: ['echo', 'I', 'say'],
      cmd: ['nothing'],
      env: ['PATH=/bin'],
      user: 'web',
      workingDir: '/made/here',
    })
  })
  after(async () => {
    await pods?.stop()
  })
  afterEach(() => {
    if (pods !== undefined) pods.agent.changes = {}
  })

  const sh = (script: string, ...options: string[]): Promise<Ended> =>
    pods.run([...options, 'busybox', '--', 'sh', '-c', script])
  const podNames = (state: string): string[] => fs.readdirSync(path.join(pods.dir, 'pods', state))
  const hostMounts = (): string => fs.readFileSync('/proc/self/mountinfo', 'utf8')

  describe('the app', () => {
    it('delivers output and exit status', async () => {
      const before = handedOver(pods.work)
      assert.deepEqual(await sh('echo out; echo err >&2; exit 7'), {
        status: 7,
        signal: null,
        stdout: 'out\n',
        stderr: 'err\n',
      })
      assert.equal(handedOver(pods.work) - before, stage0 ? 1 : 0)
    })

    it('ends with 0, or with 128 and the number of the signal that killed it', async () => {
      assert.equal((await sh('true')).status, 0)
      assert.equal((await sh('kill -KILL $$')).status, 137)
      assert.equal((await sh('kill -SEGV $$')).status, 139)
    })

    it('ends with 127 where the program is not there, 126 where it cannot be executed, and says so', async () => {
      const missing = await pods.run(['busybox', '--', 'no-such-program'])
      assert.equal(missing.status, 127)
      assert.match(missing.stderr, /no-such-program: No such file or directory/)
      const file = await pods.run(['busybox', '--', '/etc/not-executable'])
      assert.equal(file.status, 126)
      assert.match(file.stderr, /not-executable: Permission denied/)
      const lost = await pods.run(['busybox', '--', 'lost'])
      assert.equal(lost.status, 126)
      assert.match(lost.stderr, /its interpreter or loader is not in the image/)
    })

    it('ends with 125 where it cannot be set up', async () => {
      const run = await pods.run(['--user', 'nobody-here', 'busybox', '--', 'true'])
      assert.equal(run.status, 125)
      assert.match(run.stderr, /user nobody-here is not in the image's \/etc\/passwd/)
    })

    it('finds exactly the environment that the manifest says', async () => {
      const run = await pods.run(['--set-env', 'A=b=c', '--set-env', 'COLOUR=red', 'busybox', '--', 'env'], {
        ...process.env,
        SECRET_OF_THE_CALLER: 'x',
      })
      assert.deepEqual(run.stdout.trim().split('\n'), ['PATH=/bin', 'COLOUR=red', 'A=b=c', 'AC_APP_NAME=busybox'])
    })

    it("runs an OCI image's entrypoint, with its Cmd replaced by the arguments given", async () => {
      assert.equal((await pods.run(['echo'])).stdout, 'I say nothing\n')
      assert.equal((await pods.run(['echo', '--', 'something', 'else'])).stdout, 'I say something else\n')
      assert.equal((await pods.run(['--exec', '/bin/pwd', 'echo'])).stdout, '/made/here\n')
    })

    it('runs as the user of the image with the groups of its /etc/group, or as the one given', async () => {
      const ids = async (...options: string[]): Promise<string> =>
        (
          await pods.run([
            ...options,
            '--exec',
            '/bin/sh',
            'echo',
            '--',
            '-c',
            'grep -E "^(Uid|Gid|Groups)" /proc/self/status',
          ])
        ).stdout
      assert.equal(await ids(), 'Uid:\t1001\t1001\t1001\t1001\nGid:\t1002\t1002\t1002\t1002\nGroups:\t1003 \n')
      assert.match(await ids('--user', '4321', '--group', 'log'), /Uid:\t4321.*Gid:\t1003\t/s)
      assert.match(await ids('--user', '4321'), /Uid:\t4321.*Gid:\t0\t/s)
    })

    it('holds no more than the planned capabilities, a seccomp filter, and no descriptors but its own three', async () => {
      const run = await sh(
        'grep -E "^(Cap|NoNewPrivs|Seccomp:)" /proc/self/status; for n in 0 1 2 3 4 5 6 7 8 9 10 11 12; do test -e /proc/$$/fd/$n && echo $n; done',
      )
      assert.equal(
        run.stdout,
        [
          'CapInh:\t0000000000000000',
          'CapPrm:\t00000000a00425fb', // the 14 of appc without CAP_MKNOD
          'CapEff:\t00000000a00425fb',
          'CapBnd:\t00000000a00425fb',
          'CapAmb:\t0000000000000000',
          'NoNewPrivs:\t0',
          'Seccomp:\t2',
          '0',
          '1',
          '2',
          '',
        ].join('\n'),
      )
      const user = await sh('grep ^CapEff /proc/self/status', '--user', '1001')
      assert.equal(user.stdout, 'CapEff:\t0000000000000000\n')
    })

    it('cannot make or open device nodes, mount, or make namespaces', async () => {
      const run = await sh(
        'mknod /tmp/d b 7 0 || echo a; mknod /dev/d c 1 1 || echo b; mount -t tmpfs x /tmp || echo c; unshare -n true || echo d; unshare -U true || echo e; echo x >/dev/null && echo f',
      )
      assert.equal(run.stdout, 'a\nb\nc\nd\ne\nf\n')
    })

    it('sees nothing of the host behind /proc/keys, /proc/timer_list, /sys/firmware, its init or other apps', async () => {
      const run = await sh(
        'wc -c </proc/keys; wc -c </proc/timer_list; ls /sys/firmware; ls -d /s1 /apps; ls /dev/sda /dev/vda /dev/loop0',
      )
      assert.equal(run.stdout, '0\n0\n')
    })

    // Before its privileges are dropped the process that becomes the app could follow each of these out of its root;
    // the lock's descriptor even leads to the pod's directory on the host.
    for (const cwd of [
      '/proc/1/root/s1/status',
      '/proc/1/root/made',
      '/proc/1/cwd',
      '/proc/self/root',
      '/link/status',
      ...[3, 4, 5, 6, 7, 8, 9, 10].map((fd) => `/proc/self/fd/${fd}`),
      '/dev/fd/3',
    ]) {
      it(`is not started in the working directory ${cwd}, which would be outside of its root`, async () => {
        const run = await sh('ls -a . ..', '--working-dir', cwd)
        assert.deepEqual([run.status, run.stdout], [125, ''])
        assert.match(run.stderr, /working directory/)
      })
    }

    it('is started in a working directory that a link within the image leads to', async () => {
      assert.equal((await sh('pwd; touch here; ls /tmp', '--working-dir', '/inner/new')).stdout, '/tmp/new\nnew\n')
    })

    it('cannot leave the cgroups that it was put into', async () => {
      const run = await sh(
        'grep " /sys" /proc/mounts | grep -v " ro,"; ' +
          'for f in $(find /sys/fs/cgroup -name tasks -o -name cgroup.procs); do echo 0 2>/dev/null >$f && echo $f; done',
      )
      assert.equal(run.stdout, '')
    })

    it('is not started as a user or group whose number the kernel takes for "leave it as it is"', async () => {
      for (const options of [
        ['--user', 'nobody-at-all'],
        ['--user', 'web', '--group', 'no-group'],
      ]) {
        const run = await sh('id', ...options)
        assert.deepEqual([run.status, run.stdout], [125, ''])
        assert.match(run.stderr, /is no user and group/)
      }
    })

    it('lets a set-user-ID program of the image work', async () => {
      const run = await pods.run(['--user', '1001', 'busybox', '--', 'euid'])
      assert.deepEqual([run.status, run.stdout], [0, '0\n'])
    })

    it('has an empty network with loopback by default, and the host’s where it was asked for', async () => {
      assert.equal((await sh('ls /sys/class/net; ip a show lo | grep -c "state\\|UP"')).stdout.split('\n')[0], 'lo')
      const own = fs.readlinkSync('/proc/self/ns/net')
      assert.equal((await sh('readlink /proc/self/ns/net', '--net', 'host')).stdout, `${own}\n`)
      assert.notEqual((await sh('readlink /proc/self/ns/net')).stdout, `${own}\n`)
    })

    it('writes to a layer of its own: the image stays as it is', async () => {
      const before = fs.readFileSync(tree)
      assert.equal((await sh('echo changed >/etc/passwd; rm /bin/ls; cat /etc/passwd')).stdout, 'changed\n')
      assert.match((await sh('cat /etc/passwd; ls -d /bin/ls')).stdout, /^root:x:0/)
      assert.deepEqual(fs.readFileSync(tree), before)
    })

    it('has the host name and limits that were asked for', async () => {
      const run = await sh(
        'hostname; cat /proc/self/cgroup; dd if=/dev/zero of=/dev/null bs=100M count=1',
        '--hostname',
        'web-1',
        '--memory',
        '32Mi',
      )
      assert.match(run.stdout, /^web-1\n/)
      assert.match(run.stdout, /app-busybox/)
      assert.notEqual(run.status, 0) // the kernel ends what needs 100 MB
    })
  })

  describe('the end of a pod', () => {
    it('passes SIGTERM on and ends with the app’s own status', async () => {
      const child = pods.startRun([
        'busybox',
        '--',
        'sh',
        '-c',
        'trap "echo bye; exit 3" TERM; echo up; while :; do sleep 0.1; done',
      ])
      const end = ended(child)
      await said(child, 'up')
      child.kill('SIGTERM')
      const run = await end
      assert.equal(run.status, 3)
      assert.match(run.stdout, /bye/)
    })

    it('comes when systemd-nspawn is killed, and frees the lock no earlier than PID 1 has gone', async () => {
      const file = path.join(pods.work, 'killed-uuid')
      const script = 'trap "sleep 0.3; exit 4" TERM; echo up; while :; do sleep 0.1; done'
      const child = pods.startRun(['--uuid-file-save', file, 'busybox', '--', 'sh', '-c', script])
      await said(child, 'up')
      const uuid = fs.readFileSync(file, 'utf8')
      assert.match((await pods.cli(['status', uuid, ...pods.dirOption])).stdout, /^state=running\n/)
      child.kill('SIGKILL')
      const status = await pods.cli(['status', '--wait', uuid, ...pods.dirOption])
      assert.match(status.stdout, /^state=exited\n/)
      assert.match(status.stdout, /^app-busybox=4$/m)
    })

    it('leaves no mount on the host, and after rm no cgroup and no file', async () => {
      const mounts = hostMounts()
      const file = path.join(pods.work, 'uuid')
      await sh('true', '--uuid-file-save', file)
      const uuid = fs.readFileSync(file, 'utf8')
      assert.equal(hostMounts(), mounts)
      const removed = await pods.cli(['rm', '--uuid-file', file, ...pods.dirOption])
      assert.deepEqual([removed.status, removed.stdout, removed.stderr], [0, `${uuid}\n`, ''])
      const left = execFileSync('find', ['/sys/fs/cgroup', '/run/systemd', pods.dir, '-name', `*${uuid}*`], {
        encoding: 'utf8',
      })
      assert.equal(left, '')
    })

    it('comes for each of several pods at once, each with its own status', async () => {
      const runs = await Promise.all([1, 2, 3].map((n) => sh(`sleep 0.2; exit ${n}`)))
      assert.deepEqual(
        runs.map((r) => r.status),
        [1, 2, 3],
      )
    })
  })

  describe('two apps', () => {
    it('share the pod; the first that fails ends it and gives its status', async () => {
      putOciImage(pods.dir, tree, {
        name: 'docker://test.invalid/fails:1',
        cmd: ['sh', '-c', 'sleep 0.2; exit 9'],
        env: ['PATH=/bin'],
      })
      putOciImage(pods.dir, tree, { name: 'docker://test.invalid/stays:1', cmd: ['sleep', '1000'], env: ['PATH=/bin'] })
      const file = path.join(pods.work, 'uuid2')
      const run = await pods.run(['--uuid-file-save', file, 'stays', 'fails'])
      assert.equal(run.status, 9, run.stderr)
      const status = await pods.cli(['status', '--uuid-file', file, ...pods.dirOption])
      assert.match(status.stdout, /^app-stays=143\napp-fails=9$/m)
    })
  })

  describe('what the agent is told', () => {
    it('names every digest that is checked, and no value of the environment', async () => {
      await sh('true', '--set-env', 'TOKEN=very-secret', '--memory', '64Mi')
      const launch = pods.agent.launches.at(-1)
      assert.equal(JSON.stringify(launch).includes('very-secret'), false)
      const { stage1, images, isolators, network } = launch as unknown as {
        stage1: { hostPrograms: { path: string }[]; tree: string; flavour: string }
        images: { tree: string; verification: string }[]
        isolators: unknown
        network: string
      }
      assert.deepEqual(stage1.hostPrograms.map((p) => path.basename(p.path)).sort(), [
        'holdfast-stage1',
        'systemd-nspawn',
      ])
      assert.equal(stage1.flavour, 'nspawn')
      assert.equal(stage1.tree, pods.stage1.treeDigest)
      assert.match(images[0]?.tree ?? '', /^erofs-verity-2:sha256:/)
      assert.deepEqual(isolators, [{ name: 'resource/memory', value: '{"limit":"64Mi"}' }])
      assert.equal(network, 'none')
    })
  })

  describe('a refusal starts nothing, exits with 254 and says what to do', () => {
    const answering = (status: number, body: unknown): AnswerChanges => ({
      answer: () => ({ status, body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const claiming = (claims: Record<string, unknown>): AnswerChanges => ({
      changeClaims: (c) => Object.assign(c, claims),
    })
    const refused: readonly { name: string; changes: AnswerChanges; says: RegExp }[] = [
      {
        name: 'a denial by policy',
        changes: answering(403, { decision: 'denied', code: 'POLICY_FORBIDS', reasons: ['no policy permits it'] }),
        says: /no policy permits it[\s\S]*POLICY_FORBIDS/,
      },
      {
        name: 'an agent that fails closed',
        changes: answering(503, { code: 'UPLINK_DOWN', message: 'verifier unreachable', hint: 'see X' }),
        says: /verifier unreachable.*UPLINK_DOWN[\s\S]*see X/,
      },
      { name: 'an answer that is no JSON', changes: answering(200, '<html>'), says: /AGENT_ANSWER_BAD/ },
      { name: 'an empty object', changes: answering(200, {}), says: /AGENT_ANSWER_BAD/ },
      { name: 'null', changes: answering(200, null), says: /AGENT_ANSWER_BAD/ },
      { name: 'a status without meaning', changes: answering(418, { decision: 'allowed' }), says: /AGENT_ANSWER_BAD/ },
      { name: 'an answer of 9 MB', changes: answering(200, ' '.repeat(9 << 20)), says: /AGENT_ANSWER_BAD/ },
      { name: 'a connection that breaks', changes: { answer: () => 'hang-up' }, says: /AGENT_ANSWER_BAD/ },
      {
        name: 'no ticket although the agent enforces',
        changes: {
          answer: ({ request }) => ({
            status: 200,
            body: JSON.stringify({ decision: 'allowed', mode: 'enforce', request, ticket: null }),
          }),
        },
        says: /LAUNCH_TICKET_BAD/,
      },
      {
        name: 'a mode that is not the measured one',
        changes: {
          answer: ({ request }) => ({
            status: 200,
            body: JSON.stringify({ decision: 'allowed', mode: 'off', request }),
          }),
        },
        says: /AGENT_ANSWER_BAD/,
      },
      {
        name: 'a ticket for another request',
        changes: claiming({ request: '0'.repeat(64) }),
        says: /TICKET_WRONG_REQUEST/,
      },
      {
        name: 'a ticket for another pod',
        changes: claiming({ pod: '00000000-0000-4000-8000-000000000000' }),
        says: /TICKET_WRONG_POD/,
      },
      { name: 'a ticket for another node', changes: claiming({ sub: 'cd'.repeat(32) }), says: /TICKET_WRONG_NODE/ },
      { name: 'an expired ticket', changes: claiming({ iat: 1000, nbf: 1000, exp: 1060 }), says: /TICKET_EXPIRED/ },
      {
        name: 'a launch that is not the one asked for',
        changes: {
          changeRequest: (r) => {
            r['network'] = 'host'
          },
        },
        says: /LAUNCH_REQUEST_DIFFERS/,
      },
      {
        name: 'a pod manifest that was changed after it was measured',
        changes: { before: (dir) => fs.appendFileSync(path.join(dir, 'pod'), ' ') },
        says: /LAUNCH_CHANGED/,
      },
    ]
    for (const { name, changes, says } of refused) {
      it(name, async () => {
        pods.agent.changes = changes
        const file = path.join(pods.work, 'refused-uuid')
        const run = await sh('echo STARTED', '--uuid-file-save', file)
        assert.equal(run.status, 254, run.stderr)
        assert.equal(run.stdout, '')
        assert.match(run.stderr, says)
        assert.match(run.stderr, /^holdfast run: /)
        assert.ok(podNames('exited-garbage').includes(fs.readFileSync(file, 'utf8')))
      })
    }

    for (const which of ['image', 'stage1'] as const) {
      for (const how of ['overwritten in place', 'replaced by another file'] as const) {
        it(`a tree of the ${which} that is ${how} after it was measured`, async () => {
          const image =
            which === 'stage1'
              ? pods.stage1
              : putOciImage(pods.dir, tree, {
                  name: 'docker://test.invalid/busybox:1',
                  cmd: ['sh'],
                  env: ['PATH=/bin', 'COLOUR=blue'],
                })
          const file = treeFile(pods.dir, image)
          const good = fs.readFileSync(file)
          pods.agent.changes = {
            before: () => {
              const bad = Buffer.from(good)
              bad.writeUInt8((bad.at(-1) ?? 0) ^ 1, bad.length - 1)
              if (how === 'overwritten in place') fs.writeFileSync(file, bad)
              else {
                fs.writeFileSync(`${file}.new`, bad)
                fs.renameSync(`${file}.new`, file)
              }
            },
          }
          try {
            const run = await sh('echo STARTED')
            assert.equal(run.status, 254, run.stderr)
            assert.equal(run.stdout, '')
            assert.match(run.stderr, /IMAGE_TREE_CHANGED/)
          } finally {
            pods.agent.changes = {}
            fs.writeFileSync(file, good)
          }
          assert.equal((await sh('echo good')).stdout, 'good\n')
        })
      }
    }

    it('no agent at all, with the way to start it', async () => {
      const run = await sh('echo STARTED', '--agent', path.join(pods.work, 'nothing.sock'))
      assert.deepEqual([run.status, run.stdout], [254, ''])
      assert.match(run.stderr, /AGENT_MISSING[\s\S]*holdfast-agent/)
    })

    it('a trust file that others than root may write', async () => {
      const file = path.join(pods.work, 'loose-trust.json')
      fs.copyFileSync(pods.agent.trust, file)
      fs.chmodSync(file, 0o664)
      const run = await sh('echo STARTED', '--trust', file)
      assert.deepEqual([run.status, run.stdout], [254, ''])
      assert.match(run.stderr, /others than root may write it.*LAUNCH_TICKET_BAD/)
    })

    it('a trust file without the key that signed', async () => {
      const file = path.join(pods.work, 'other-trust.json')
      fs.writeFileSync(file, '{"v":1,"ticketKeys":[]}')
      const run = await sh('echo STARTED', '--trust', file)
      assert.deepEqual([run.status, run.stdout], [254, ''])
      assert.match(run.stderr, /LAUNCH_TICKET_BAD/)
    })
  })

  describe('starts without a ticket only where root has configured the agent so', () => {
    const configured = (text: string): string => {
      const file = path.join(pods.work, 'agent.yaml')
      fs.rmSync(file, { force: true })
      fs.writeFileSync(file, text)
      return file
    }
    const starts: readonly [configured: string, mode: 'audit' | 'off'][] = [
      ['mode: audit', 'audit'],
      ['mode: off', 'off'],
      ['mode: off', 'audit'],
    ]
    for (const [text, mode] of starts) {
      it(`an agent of ${text} that says ${mode}: it starts, and the user is told`, async () => {
        pods.agent.changes = { mode }
        const run = await sh('echo up', '--agent-config', configured(text))
        assert.deepEqual([run.status, run.stdout], [0, 'up\n'])
        assert.match(run.stderr, new RegExp(`does not enforce \\(mode ${mode}\\)`))
      })
    }
    const refused: readonly [what: string, file: () => string, code: RegExp][] = [
      [
        'no configuration',
        () => path.join(pods.work, 'absent.yaml'),
        /configured on this node is enforce.*AGENT_ANSWER_BAD/,
      ],
      ['one that enforces', () => configured('mode: enforce\n'), /configured on this node is enforce/],
      ['one that says nothing', () => configured('tcti: device\n'), /configured on this node is enforce/],
      ['one that is empty', () => configured(''), /configured on this node is enforce/],
      ['one that only audits', () => configured('mode: audit\n'), /says mode off; configured on this node is audit/],
      ['a mode that is none', () => configured('mode: [off]\n'), /LAUNCH_MODE_UNKNOWN/],
      ['one that is no YAML', () => configured('mode: {off\n'), /LAUNCH_MODE_UNKNOWN/],
      [
        "the agent's own file",
        () => {
          const file = configured('mode: off\n')
          fs.chownSync(file, 65534, 65534)
          return file
        },
        /belongs to user 65534/,
      ],
      [
        'a file that others may write',
        () => {
          const file = configured('mode: off\n')
          fs.chmodSync(file, 0o666)
          return file
        },
        /others than root may write it/,
      ],
      ['a directory', () => pods.work, /LAUNCH_MODE_UNKNOWN/],
    ]
    for (const [what, file, says] of refused) {
      it(`refuses an agent that says off beside ${what}`, async () => {
        pods.agent.changes = { mode: 'off' }
        const run = await sh('echo STARTED', '--agent-config', file())
        assert.deepEqual([run.status, run.stdout], [254, ''])
        assert.match(run.stderr, says)
      })
    }
  })

  it('becomes the pod: the process that was started is systemd-nspawn, no Node stays behind', async () => {
    const child = pods.startRun(['busybox', '--', 'sh', '-c', 'echo up; exec sleep 1000'])
    const end = ended(child)
    await said(child, 'up')
    const exe = fs.readlinkSync(`/proc/${child.pid}/exe`)
    child.kill('SIGTERM')
    assert.match(exe, /systemd-nspawn$/)
    assert.equal((await end).status, 143)
  })
})
