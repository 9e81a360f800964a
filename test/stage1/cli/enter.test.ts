import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { listPods } from '../../../stage1/pod/index.ts'
import { busyboxTree, ended, PodFixture, podsImpossible, putOciImage, said } from '../../support/pods.ts'

describe('holdfast enter', () => {
  let pods: PodFixture
  let uuid = ''
  let end: Promise<unknown>

  before(async function () {
    const why = podsImpossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    pods = await PodFixture.start()
    const image = { name: 'docker://test.invalid/busybox:1', cmd: ['sh'], env: ['PATH=/bin'], user: 'web' }
    putOciImage(pods.dir, busyboxTree(pods.work), image)
    const child = pods.startRun(['busybox', '--', 'sh', '-c', 'echo up; exec sleep 1000'])
    end = ended(child)
    await said(child, 'up')
    uuid = listPods(pods.dir, ['run'])[0]?.uuid ?? ''
  })
  after(async () => {
    if (pods === undefined) return
    await pods.cli(['stop', '--force', uuid, ...pods.dirOption])
    await end
    await pods.stop()
  })
  afterEach(() => {
    if (pods !== undefined) pods.agent.changes = {}
  })

  it('runs a program in the namespaces and confinement of the app, and ends with its status', async () => {
    const script = 'echo $AC_APP_NAME; id -u; grep -E "^(CapEff|Seccomp):" /proc/self/status; cat /proc/1/comm; exit 7'
    const run = await pods.enter(uuid.slice(0, 8), 'sh', '-c', script)
    assert.deepEqual(
      [run.status, run.stderr, run.stdout.split('\n')],
      [7, '', ['busybox', '1001', 'CapEff:\t0000000000000000', 'Seccomp:\t2', 'init', '']],
    )
    const groups = await pods.enter(uuid, 'cat', '/proc/self/cgroup')
    assert.match(groups.stdout, /\/app-busybox$/m) // as seen from within its own cgroup namespace
  })

  it('takes one -- before the program for no part of it', async () => {
    assert.equal((await pods.enter(uuid, '--', 'echo', '--', 'a')).stdout, '-- a\n')
    assert.equal(pods.agent.enters.at(-1)?.['program'], 'echo')
    const file = path.join(pods.work, 'uuid')
    fs.writeFileSync(file, uuid)
    assert.equal((await pods.enter('--uuid-file', file, '--', 'echo', '--', 'a')).stdout, '-- a\n')
    assert.equal((await pods.enter(uuid, '--', '--')).status, 127) // the program is '--', and there is none
  })

  it('tells the agent of the program and not of its arguments, and of the launch that it belongs to', async () => {
    await pods.enter(uuid, 'echo', 'very-secret')
    const enter = pods.agent.enters.at(-1) ?? assert.fail()
    assert.equal(JSON.stringify(enter).includes('very-secret'), false)
    assert.equal(enter['program'], 'echo')
    assert.match(String(enter['argv']), /^hmac-sha256:[0-9a-f]{64}$/)
  })

  const refused = [
    {
      name: 'a denial',
      answer: () => ({ status: 403, body: '{"decision":"denied","code":"X","reasons":["not you"]}' }),
      says: /not you/,
    },
    {
      name: 'an agent that fails',
      answer: () => ({ status: 503, body: '{"code":"UPLINK","message":"gone","hint":"see"}' }),
      says: /gone/,
    },
    {
      name: 'an answer without a ticket',
      answer: ({ request }: { request: string }) => ({
        status: 200,
        body: JSON.stringify({ decision: 'allowed', mode: 'enforce', request }),
      }),
      says: /LAUNCH_TICKET_BAD/,
    },
    {
      name: 'an answer about another program',
      answer: ({ request, ticket }: { request: string; ticket: string }) => ({
        status: 200,
        body: JSON.stringify({
          decision: 'allowed',
          mode: 'enforce',
          request: request.replace('"echo"', '"true"'),
          ticket,
        }),
      }),
      says: /LAUNCH_REQUEST_DIFFERS/,
    },
  ]
  for (const { name, answer, says } of refused) {
    it(`runs nothing after ${name}`, async () => {
      pods.agent.changes = { answer }
      const run = await pods.enter(uuid, 'echo', 'STARTED')
      assert.deepEqual([run.status, run.stdout], [254, ''])
      assert.match(run.stderr, says)
    })
  }

  it('runs nothing where the manifest is not the one that was launched', async () => {
    const file = path.join(pods.dir, 'pods/run', uuid, 'pod')
    const manifest = fs.readFileSync(file, 'utf8')
    const asked = pods.agent.enters.length
    fs.writeFileSync(file, manifest.replace('"user":"web"', '"user":"0"'))
    try {
      const run = await pods.enter(uuid, 'echo', 'STARTED')
      assert.deepEqual([run.status, run.stdout, pods.agent.enters.length], [254, '', asked])
      assert.match(run.stderr, /LAUNCH_CHANGED/)
    } finally {
      fs.writeFileSync(file, manifest)
    }
  })

  it('says what is wrong with the pod or the app', async () => {
    assert.match((await pods.enter('ffff', 'true')).stderr, /POD_NOT_FOUND/)
    assert.match((await pods.enter('--app', 'other', uuid, 'true')).stderr, /POD_APP_UNKNOWN/)
    assert.match((await pods.enter()).stderr, /no pod given/)
  })
})
