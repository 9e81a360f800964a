import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { pino } from 'pino'
import { LaunchLog } from '../../../agent/launch-log/index.ts'
import type { AgentStatus } from '../../../agent/local-api/index.ts'
import { LocalApi, type LocalApiOptions } from '../../../agent/local-api/server.ts'
import type { LaunchLogContent } from '../../../attestation/event-log/index.ts'
import { pcrIndex } from '../../../attestation/tpm2/index.ts'
import { decodeCel } from '../../support/cel.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { FaultyDisk, Steps } from '../launch-log/faulty-storage.ts'
import { RegisterTpm } from '../launch-log/register-tpm.ts'
import { localCall } from '../support/local-call.ts'

describe('the local API', () => {
  const dir = tempDir()
  const socketPath = join(dir.path, 'run', 'agent.sock')
  let log: LaunchLog
  let options: LocalApiOptions
  let api: LocalApi | undefined
  let launched: unknown

  before(async () => {
    const tpm = new RegisterTpm(['sha256'])
    log = await LaunchLog.open({
      storage: new FaultyDisk().storage(new Steps()),
      tpm: tpm.port(),
      pcr: pcrIndex(15),
      banks: tpm.banks,
      agentRecord: (found) => ({
        ...{ record: 'agent', version: 't', programSha256: 'c'.repeat(64), configSha256: 'd'.repeat(64) },
        ...{ mode: 'enforce', found, verifierKeys: [] },
      }),
      onBreak: () => {},
    })
    options = {
      socketPath,
      status: () => ({ version: 'test' }) as AgentStatus, // what is in it is not this test's business
      log: () => log.view,
      enter: async (_body, by) => ({ decision: 'denied', code: 'NOT_HERE', reasons: [`user ${by.uid}`] }),
      launch: async (body) => {
        launched = body
        return { decision: 'denied', code: 'X', reasons: ['because'] }
      },
      evidence: async (nonce) => nonce,
      logger: pino({ level: 'silent' }),
    }
  })
  beforeEach(async () => {
    api = await LocalApi.listen(options)
  })
  afterEach(async () => {
    await api?.close()
    api = undefined
  })
  after(() => dir.remove())

  it('is for root alone where no group is given', () => {
    assert.equal(statSync(socketPath).mode & 0o777, 0o600)
  })

  it('is for the group and nobody else where one is given', async () => {
    const path = join(dir.path, 'grouped.sock')
    const grouped = await LocalApi.listen({ ...options, socketPath: path, gid: 4242 })
    const { mode, gid } = statSync(path)
    assert.deepEqual([mode & 0o777, gid], [0o660, 4242])
    await grouped.close()
  })

  it('removes its socket when it is closed', async () => {
    await api?.close()
    api = undefined
    assert.equal(existsSync(socketPath), false)
  })

  it('replaces the socket of an agent that was killed', async () => {
    const path = join(dir.path, 'stale.sock')
    const source = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => console.log('up'))`
    const other = spawn(process.execPath, ['-e', source], { stdio: ['ignore', 'pipe', 'inherit'] })
    const ended = once(other, 'exit')
    await once(other.stdout, 'data')
    other.kill('SIGKILL')
    await ended
    assert.equal(existsSync(path), true, 'it is left behind')
    const next = await LocalApi.listen({ ...options, socketPath: path })
    assert.equal((await localCall(path, 'GET', '/v1/status')).status, 200)
    await next.close()
  })

  it('leaves the socket of a living agent alone', async () => {
    await assert.rejects(LocalApi.listen(options), { code: 'API_SOCKET_IN_USE' })
    assert.equal((await localCall(socketPath, 'GET', '/v1/status')).status, 200)
  })

  it('removes nothing that is no socket', async () => {
    const path = join(dir.path, 'file')
    writeFileSync(path, 'precious')
    await assert.rejects(LocalApi.listen({ ...options, socketPath: path }), { code: 'API_SOCKET_FAILED' })
    assert.equal(existsSync(path), true)
    mkdirSync(join(dir.path, 'directory'))
    await assert.rejects(LocalApi.listen({ ...options, socketPath: join(dir.path, 'directory') }), {
      code: 'API_SOCKET_FAILED',
    })
  })

  it('can be used with curl', function () {
    if (!existsSync('/usr/bin/curl')) {
      console.log('      skipped: curl is not installed')
      this.skip()
    }
    const script = `curl -sS --unix-socket ${socketPath} http://localhost/v1/status`
    return new Promise<void>((resolve, reject) => {
      const curl = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit'] })
      let said = ''
      curl.stdout.on('data', (d: Buffer) => (said += d.toString()))
      curl.on('exit', (code) => (code === 0 && said === '{"version":"test"}\n' ? resolve() : reject(new Error(said))))
    })
  })

  it('gives the log as CEL-JSON and as the bytes that they are', async () => {
    const json = await localCall(socketPath, 'GET', '/v1/log')
    assert.ok(Array.isArray(json.body))
    assert.equal(json.body[0].content_type, 'holdfast')
    assert.equal(json.body[0].content.record, 'agent')
    const tlv = await localCall(socketPath, 'GET', '/v1/log?format=tlv')
    assert.equal(decodeCel(tlv.bytes, 0).length, json.body.length)
  })

  it('gives a log of several pieces whole', async () => {
    const images = Array.from({ length: 64 }, (_, i) => `image-${i}-${'x'.repeat(450)}`)
    const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
    const big = (n: number): LaunchLogContent => ({
      ...{ record: 'pod', uuid: uuid(n), request: 'a'.repeat(64), manifest: 'b'.repeat(64), stage1: 's' },
      images,
    })
    await log.exclusive((w) => w.append(Array.from({ length: 160 }, (_, i) => big(i))))
    assert.ok(log.view.size > 4_500_000)
    const json = await localCall(socketPath, 'GET', '/v1/log')
    assert.ok(Array.isArray(json.body))
    assert.deepEqual(
      json.body.map((r) => r.recnum),
      Array.from({ length: 161 }, (_, i) => i),
    )
    const tlv = await localCall(socketPath, 'GET', '/v1/log?format=tlv')
    assert.equal(tlv.bytes.length, log.view.size)
  })

  it('passes a launch on, and answers a denial with 403', async () => {
    const { status, body } = await localCall(socketPath, 'POST', '/v1/launches', { any: 'thing' })
    assert.deepEqual(launched, { any: 'thing' })
    assert.deepEqual([status, body], [403, { decision: 'denied', code: 'X', reasons: ['because'] }])
  })

  it('gives evidence over the nonce that was asked for', async () => {
    const nonce = 'ab'.repeat(20)
    const { status, bytes } = await localCall(socketPath, 'POST', '/v1/evidence', { nonce })
    assert.deepEqual([status, bytes.toString('hex')], [200, nonce])
  })

  const refused = [
    { name: 'an unknown path', method: 'GET', path: '/v1/secrets', status: 404, code: 'API_NOT_FOUND' },
    { name: 'an unknown format', method: 'GET', path: '/v1/log?format=xml', status: 404, code: 'API_NOT_FOUND' },
    { name: 'another method', method: 'DELETE', path: '/v1/log', status: 405, code: 'API_METHOD' },
    { name: 'a launch by GET', method: 'GET', path: '/v1/launches', status: 405, code: 'API_METHOD' },
    {
      name: 'a body that is no JSON',
      method: 'POST',
      path: '/v1/launches',
      body: '{',
      status: 400,
      code: 'API_BODY_NOT_JSON',
    },
    { name: 'no body', method: 'POST', path: '/v1/launches', body: '', status: 400, code: 'API_BODY_NOT_JSON' },
    ...[{}, { nonce: 'ab' }, { nonce: 'AB'.repeat(16) }, { nonce: 'ab'.repeat(65) }].map((body) => ({
      ...{ name: `evidence for ${JSON.stringify(body).slice(0, 24)}`, method: 'POST', path: '/v1/evidence', body },
      ...{ status: 400, code: 'API_NONCE' },
    })),
    {
      ...{ name: 'a body of 3 MiB', method: 'POST', path: '/v1/launches', body: ' '.repeat(3 << 20) },
      ...{ status: 413, code: 'API_BODY_TOO_LARGE' },
    },
  ]
  for (const { name, method, path, body, status, code } of refused) {
    it(`refuses ${name} with ${status}`, async () => {
      const answer = await localCall(socketPath, method, path, body)
      const failure = answer.body as { code: string; hint: string; message: string } // compared below
      assert.deepEqual([answer.status, failure.code], [status, code])
      assert.ok(failure.message.length > 5 && failure.hint.length > 5)
    })
  }

  it('survives what is no HTTP', async () => {
    const socket = connect(socketPath)
    socket.end(Buffer.alloc(10_000, 0xff))
    socket.resume()
    await once(socket, 'close')
    assert.equal((await localCall(socketPath, 'GET', '/v1/status')).status, 200)
  })

  it('answers an internal error with 500 and no detail of where it happened', async () => {
    const path = join(dir.path, 'broken.sock')
    const broken = await LocalApi.listen({
      ...options,
      socketPath: path,
      status: () => {
        throw new TypeError('oh')
      },
    })
    const { status, body } = await localCall(path, 'GET', '/v1/status')
    assert.equal(status, 500)
    assert.deepEqual(Object.keys(body as object), ['code', 'message', 'hint'])
    await broken.close()
  })
})
