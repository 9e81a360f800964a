import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import { LaunchLog, type LaunchLogOptions, logFileName } from '../../../agent/launch-log/index.ts'
import type { HashAlgorithm } from '../../../attestation/crypto/index.ts'
import {
  type BreakRecord,
  decodeCelRecord,
  type LaunchLogContent,
  parseLaunchLogContent,
  replayRecords,
  replayStart,
  toBankValues,
} from '../../../attestation/event-log/index.ts'
import { makeDigest, pcrIndex } from '../../../attestation/tpm2/index.ts'
import { decodeCel } from '../../support/cel.ts'
import { Crash, FaultyDisk, FULL, Steps } from './faulty-storage.ts'
import { RegisterTpm } from './register-tpm.ts'

const PCR = pcrIndex(15)
const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const pod = (n: number): LaunchLogContent => ({
  ...{ record: 'pod', uuid: uuid(n), request: 'a'.repeat(64), manifest: 'b'.repeat(64) },
  ...{ stage1: 'sha512-1', images: ['sha256-2'] },
})
const denied = (n: number): LaunchLogContent => ({
  ...{ record: 'denied', uuid: uuid(n), request: 'a'.repeat(64), code: 'LAUNCH_DENIED' },
})

/** Which batches an agent tries to append, one after another. */
const BATCHES: readonly (readonly LaunchLogContent[])[] = [[pod(1)], [denied(1), pod(2), denied(2)], [pod(3)]]

describe('the launch log, whatever stops the agent', () => {
  for (const banks of [['sha256'], ['sha1', 'sha256', 'sha384']] as const) {
    for (const crash of ['process crash', 'machine crash'] as const) {
      for (const done of ['nothing', 'half', 'all'] as const) {
        it(`keeps log and register together: ${crash}, ${done} of the step done, banks ${banks.join(', ')}`, async () => {
          const steps = await countSteps(banks)
          assert.ok(steps > 12, `${steps} steps`)
          for (let step = 0; step < steps; step++) await stopAndRecover(banks, step, done, crash)
        })
      }
    }
  }

  it('recovers also from being stopped at every step of a recovery', async () => {
    for (let first = 0; first < (await countSteps(['sha256'])); first++) {
      for (let second = 0; second < 8; second++) {
        const tpm = new RegisterTpm(['sha256'])
        const disk = new FaultyDisk()
        const kept = await run(disk, tpm, { step: first, done: 'half' })
        const then = disk.survive('process crash')
        await run(then, tpm, { step: second, done: 'half' })
        await check(then.survive('process crash'), tpm, kept, `first ${first}, second ${second}`)
      }
    }
  })

  it('goes on after a full disk, and has extended nothing that is not in the log', async () => {
    for (const done of ['nothing', 'half', 'all'] as const) {
      for (let step = 0; step < (await countSteps(['sha256'])); step++) {
        const tpm = new RegisterTpm(['sha256'])
        const disk = new FaultyDisk()
        const steps = new Steps()
        steps.failAt = { step, error: FULL, done }
        const kept: LaunchLogContent[] = []
        const opened = await open(disk, tpm, steps).catch(() => undefined)
        if (opened !== undefined) {
          for (const batch of BATCHES) {
            await opened.log
              .exclusive((w) => w.append(batch))
              .then(
                () => kept.push(...batch),
                (err: unknown) => assert.equal(err, FULL),
              )
          }
          assert.deepEqual(opened.breaks, [], `step ${step}, ${done}`)
          await opened.log.close()
        }
        await check(disk, tpm, kept, `step ${step}, ${done}`)
      }
    }
  })

  it('takes half a record at the end of the file for what it is', async () => {
    const { disk, tpm, kept } = await quiet()
    const name = logFileName(tpm.start)
    const whole = disk.bytes(name)
    disk.change(name, new Uint8Array([...whole, ...whole.subarray(0, 100)]))
    await check(disk, tpm, kept, 'torn tail')
  })

  it('begins a new log when the TPM was started anew, and leaves the old one', async () => {
    const { disk, tpm } = await quiet()
    const before = disk.names()
    tpm.reset()
    const { log } = await open(disk, tpm)
    assert.equal(log.view.summary.records, 1)
    assert.deepEqual(disk.names(), [...before, logFileName(tpm.start)])
    await log.close()
  })

  it('notices a TPM that was started anew while it ran, and begins a new log before anything else', async () => {
    const tpm = new RegisterTpm(['sha256'])
    const { log, breaks } = await open(new FaultyDisk(), tpm)
    await log.exclusive((w) => w.append([pod(1)]))
    tpm.reset()
    await assert.rejects(
      log.exclusive((w) => w.checkRegister()),
      { code: 'LAUNCH_LOG_REGISTER_MISMATCH' },
    )
    assert.equal(log.settled, false)
    await log.exclusive((w) => w.append([pod(2)]))
    assert.deepEqual(log.view.start, tpm.start)
    assert.equal(log.view.summary.hasPod(uuid(1)), false)
    assert.equal(log.view.summary.hasPod(uuid(2)), true)
    assert.deepEqual(breaks, [])
    await log.close()
  })

  it('records a break when somebody else extended the register, and goes on from what it found', async () => {
    const { disk, tpm, kept } = await quiet()
    tpm.extendDirectly([makeDigest('sha256', new Uint8Array(32).fill(1))])
    const found = tpm.value('sha256')
    const { log, breaks } = await open(disk, tpm)
    assert.equal(breaks.length, 1)
    assert.deepEqual(breaks[0]?.found, toBankValues({ sha256: found }))
    assert.notDeepEqual(breaks[0]?.expected, breaks[0]?.found)
    assert.equal(log.view.summary.breaks.length, 1)
    assert.equal(log.view.summary.records, kept.length + 3, 'two agents, what was kept, the break')
    await log.exclusive((w) => w.checkRegister())
    await log.close()
    const again = await open(disk, tpm)
    assert.deepEqual(again.breaks, [], 'a break is told once')
    await again.log.exclusive((w) => w.checkRegister())
    await again.log.close()
  })

  it('recovers from being stopped while it records a break', async () => {
    for (let step = 0; step < 5; step++) {
      for (const done of ['nothing', 'half', 'all'] as const) {
        const { disk, tpm } = await quiet()
        tpm.extendDirectly([makeDigest('sha256', new Uint8Array(32).fill(1))])
        const steps = new Steps()
        steps.stopAt = { step, done }
        await open(disk, tpm, steps).then(
          ({ log }) => log.close(),
          (err: unknown) => assert.ok(err instanceof Crash),
        )
        const { log } = await open(disk.survive('process crash'), tpm)
        assert.equal(log.view.summary.breaks.length, 1, `step ${step}, ${done}`)
        await log.exclusive((w) => w.checkRegister())
        await log.close()
      }
    }
  })

  it('takes a register of which one bank was left alone for a break', async () => {
    const tpm = new RegisterTpm(['sha1', 'sha256'])
    const disk = new FaultyDisk()
    await (await open(disk, tpm)).log.close()
    tpm.extendDirectly([makeDigest('sha1', new Uint8Array(20).fill(1))])
    const { breaks, log } = await open(disk, tpm)
    assert.equal(breaks.length, 1)
    await log.close()
  })

  it('refuses a log that was changed before its mark', async () => {
    const { disk, tpm } = await quiet()
    const name = logFileName(tpm.start)
    const bytes = disk.bytes(name).slice()
    bytes[bytes.length - 30] = (bytes[bytes.length - 30] ?? 0) ^ 1
    disk.change(name, bytes)
    await assert.rejects(open(disk, tpm), { code: 'LAUNCH_LOG_CORRUPT', message: /record 5 .*cannot be read now/ })
  })

  it('takes a log that was cut before its mark for a break', async () => {
    const { disk, tpm } = await quiet()
    const name = logFileName(tpm.start)
    disk.change(name, disk.bytes(name).slice(0, lastRecord(disk.bytes(name))))
    const { breaks, log } = await open(disk, tpm)
    assert.equal(breaks.length, 1)
    await log.close()
  })

  it('refuses another register and other banks within one boot', async () => {
    const { disk, tpm } = await quiet()
    await assert.rejects(open(disk, tpm, new Steps(), { pcr: pcrIndex(14) }), { code: 'LAUNCH_LOG_CORRUPT' })
    await assert.rejects(open(disk, tpm, new Steps(), { banks: ['sha256', 'sha384'] }), { code: 'LAUNCH_LOG_BANKS' })
  })

  it('gives up on a TPM that is reset again and again while the log is opened', async () => {
    const tpm = new RegisterTpm(['sha256'])
    const port = tpm.port()
    const restless = {
      ...port,
      readPcrs: (selection: Parameters<typeof port.readPcrs>[0]) => {
        tpm.reset()
        return port.readPcrs(selection)
      },
    }
    await assert.rejects(LaunchLog.open({ ...options(new FaultyDisk(), tpm, new Steps(), []), tpm: restless }), {
      code: 'LAUNCH_LOG_TPM_RESTARTING',
    })
  })

  it('appends nothing after it was closed', async () => {
    const { log } = await open(new FaultyDisk(), new RegisterTpm(['sha256']))
    await log.close()
    await assert.rejects(
      log.exclusive((w) => w.append([pod(1)])),
      { code: 'LAUNCH_LOG_CLOSED' },
    )
  })

  it('lets nobody append between a failure and the comparison with the TPM', async () => {
    const tpm = new RegisterTpm(['sha256'])
    const disk = new FaultyDisk()
    const steps = new Steps()
    const { log } = await open(disk, tpm, steps)
    // The command was carried out and its answer lost.
    steps.failAt = { step: steps.count + 2, error: new Error('TPM_TIMEOUT'), done: 'all' }
    await log.exclusive(async (w) => {
      await assert.rejects(w.append([pod(1)]), /TPM_TIMEOUT/)
      await assert.rejects(w.append([pod(2)]), { code: 'LAUNCH_LOG_UNSETTLED' })
    })
    assert.equal(log.settled, false)
    await log.exclusive(async (w) => {
      assert.equal(w.summary.hasPod(uuid(1)), true, 'what was extended is in the log')
      await w.append([pod(2)])
      await w.checkRegister()
    })
    await log.close()
    await check(disk, tpm, [pod(1), pod(2)], 'lost answer')
  })

  it('predicts the register of an append', async () => {
    const { log } = await open(new FaultyDisk(), new RegisterTpm(['sha1', 'sha256']))
    await log.exclusive(async (w) => {
      const predicted = w.predict([pod(1), denied(1)])
      const appended = await w.append([pod(1), denied(1)])
      assert.deepEqual(toBankValues(predicted), toBankValues(w.registers))
      assert.deepEqual(toBankValues(appended.at(-1)?.after ?? {}), toBankValues(predicted))
      assert.equal(appended.at(-1)?.end, w.size)
    })
    await log.close()
  })
})

function options(
  disk: FaultyDisk,
  tpm: RegisterTpm,
  steps: Steps,
  breaks: BreakRecord[],
  over: Partial<LaunchLogOptions> = {},
): LaunchLogOptions {
  return {
    storage: disk.storage(steps),
    tpm: tpm.port(steps),
    pcr: PCR,
    banks: tpm.banks,
    agentRecord: (found) => ({
      ...{ record: 'agent', version: 'test', programSha256: 'c'.repeat(64), configSha256: 'd'.repeat(64) },
      ...{ mode: 'enforce', found, verifierKeys: [] },
    }),
    onBreak: (record) => breaks.push(record),
    ...over,
  }
}

async function open(
  disk: FaultyDisk,
  tpm: RegisterTpm,
  steps = new Steps(),
  over: Partial<LaunchLogOptions> = {},
): Promise<{ log: LaunchLog; breaks: BreakRecord[] }> {
  const breaks: BreakRecord[] = []
  return { log: await LaunchLog.open(options(disk, tpm, steps, breaks, over)), breaks }
}

/** An agent that ran and was stopped in order. */
async function quiet(): Promise<{ disk: FaultyDisk; tpm: RegisterTpm; kept: readonly LaunchLogContent[] }> {
  const tpm = new RegisterTpm(['sha256'])
  const disk = new FaultyDisk()
  const kept = await run(disk, tpm, undefined)
  return { disk, tpm, kept }
}

/** Runs an agent until it is stopped. @returns what its appends had promised by then */
async function run(disk: FaultyDisk, tpm: RegisterTpm, stopAt: Steps['stopAt']): Promise<LaunchLogContent[]> {
  const steps = new Steps()
  steps.stopAt = stopAt
  const kept: LaunchLogContent[] = []
  try {
    const { log, breaks } = await open(disk, tpm, steps)
    assert.deepEqual(breaks, [])
    for (const batch of BATCHES) {
      await log.exclusive((w) => w.append(batch))
      kept.push(...batch)
    }
    await log.close()
  } catch (err) {
    if (!(err instanceof Crash)) throw err
  }
  return kept
}

async function countSteps(banks: readonly HashAlgorithm[]): Promise<number> {
  const steps = new Steps()
  const { log } = await open(new FaultyDisk(), new RegisterTpm(banks), steps)
  for (const batch of BATCHES) await log.exclusive((w) => w.append(batch))
  await log.close()
  return steps.count
}

async function stopAndRecover(
  banks: readonly HashAlgorithm[],
  step: number,
  done: 'nothing' | 'half' | 'all',
  crash: 'process crash' | 'machine crash',
): Promise<void> {
  const tpm = new RegisterTpm(banks)
  const disk = new FaultyDisk()
  const kept = await run(disk, tpm, { step, done })
  await check(disk.survive(crash), tpm, kept, `${crash} at step ${step}, ${done} done`)
}

/** The next agent: no break, log and register agree, and everything that was promised is there, in order. */
async function check(
  disk: FaultyDisk,
  tpm: RegisterTpm,
  promised: readonly LaunchLogContent[],
  when: string,
): Promise<void> {
  const { log, breaks } = await open(disk, tpm)
  assert.deepEqual(breaks, [], when)
  await log.exclusive((w) => w.checkRegister())
  await log.exclusive((w) => w.append([pod(9)]))
  await log.exclusive((w) => w.checkRegister())
  const { start, size, registers } = log.view
  await log.close()

  const bytes = disk.bytes(logFileName(start))
  assert.equal(bytes.length, size, when)
  const contents = decodeCel(bytes, 0).map((r) => parseLaunchLogContent(r.content))
  const first = contents[0]
  assert.ok(first?.record === 'agent', when)
  const zero = Object.fromEntries(tpm.banks.map((bank) => [bank, new Uint8Array(tpm.value(bank).length)]))
  const replayed = replayRecords(replayStart(zero), bytes, { pcr: PCR, banks: tpm.banks }).at(-1)
  assert.deepEqual(toBankValues(replayed?.after.banks ?? {}), toBankValues(registers), when)
  for (const bank of tpm.banks) assert.deepEqual(registers[bank], tpm.value(bank), when)
  assert.equal(tpm.extends, contents.length, `${when}: each record is extended once`)
  const others = contents.filter((c) => c.record !== 'agent')
  // Between them may be records whose append failed and which the TPM had, or got, all the same.
  let at = 0
  for (const content of promised) {
    at = others.findIndex((c, i) => i >= at && isDeepStrictEqual(c, content)) + 1
    assert.notEqual(at, 0, `${when}: ${JSON.stringify(content)} is lost`)
  }
}

/** Offset of the last record. */
function lastRecord(bytes: Uint8Array): number {
  let at = 0
  for (;;) {
    const { end } = decodeCelRecord(bytes, at)
    if (end === bytes.length) return at
    at = end
  }
}
