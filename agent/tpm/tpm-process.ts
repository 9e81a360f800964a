import { readSync, writeSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { messageOf } from '../../attestation/base/index.ts'
import { lookForInput } from '../../native/process/index.ts'
import { dieWithParent, loadFfi, TssLibraries } from '../../native/tss/index.ts'
import type { Tpm } from '../ports.ts'
import { EsysTpm } from './esys-tpm.ts'
import { decodeRequest, encodeAnswer, FrameReader } from './frames.ts'
import { FATAL_CODES, type TpmAnswer, type TpmRequest } from './messages.ts'
import { CHANNEL_FD } from './tpm-channel-fd.ts'
import { TpmError } from './tpm-error.ts'
import { translate } from './translate-error.ts'

const REQUESTS_PER_TURN = 256
const MAX_ANSWER_DELAY_MS = 1
/** A launch makes its extends one after another: to be asleep in between costs more than to look for the next for so long. */
const NEXT_REQUEST_MS = 0.1

/**
 * Main of the TPM process: answers requests one after another until the channel closes. It reads and writes the channel
 * blocking and calls the TPM blocking, which is the quickest way; that it may hang is why it is a process of its own. The kernel
 * kills it when its parent dies.
 */
export async function runTpmProcess(): Promise<void> {
  const reader = new FrameReader()
  const piece = Buffer.allocUnsafe(64 * 1024)
  const answers = new AnswerBatch()
  let tpm: EsysTpm | undefined
  let served = 0
  for (;;) {
    if (served > 0) lookForInput(CHANNEL_FD, NEXT_REQUEST_MS)
    const size = readSync(CHANNEL_FD, piece)
    if (size === 0) break // the client is gone
    for (const frame of reader.push(piece.subarray(0, size))) {
      const request = decodeRequest(frame)
      if (request.op === 'close') {
        await tpm?.close()
        answers.add({ ok: true, value: undefined })
        answers.flush()
        return
      }
      const answer = await answerTo(async () => {
        if (request.op !== 'open') return call(opened(tpm), request)
        const libraries = new TssLibraries(loadFfi())
        dieWithParent(libraries)
        tpm = await EsysTpm.open({ tcti: request.tcti, mode: 'sync', libraries })
        return undefined
      })
      answers.add(answer)
      if (!answer.ok && FATAL_CODES.has(answer.code)) {
        answers.flush()
        return
      }
      if (++served % REQUESTS_PER_TURN === 0) await nextTurn() // finalizers of native objects run only between turns
    }
    answers.flush()
  }
  await tpm?.close()
}

/** Answers to requests that came together go back together, but none waits for longer than a millisecond of later work. */
class AnswerBatch {
  #frames: Buffer[] = []
  #oldestAt = 0

  add(answer: TpmAnswer): void {
    const now = performance.now()
    if (this.#frames.length === 0) this.#oldestAt = now
    this.#frames.push(encodeAnswer(answer))
    if (now - this.#oldestAt > MAX_ANSWER_DELAY_MS) this.flush()
  }

  flush(): void {
    const all = this.#frames.length === 1 ? this.#frames[0] : Buffer.concat(this.#frames)
    this.#frames = []
    for (let at = 0; all !== undefined && at < all.length; ) at += writeSync(CHANNEL_FD, all, at)
  }
}

function opened(tpm: EsysTpm | undefined): EsysTpm {
  if (tpm === undefined) throw new TpmError('TPM_PROCESS_FAILED', 'the first request must be open')
  return tpm
}

function call(tpm: Tpm, request: Exclude<TpmRequest, { op: 'open' | 'close' }>): Promise<unknown> {
  switch (request.op) {
    case 'describe':
      return tpm.describe()
    case 'readClock':
      return tpm.readClock()
    case 'readPcrs':
      return tpm.readPcrs(...request.args)
    case 'extend':
      return tpm.extend(...request.args)
    case 'provisionIdentity':
      return tpm.provisionIdentity()
    case 'activateCredential':
      return tpm.activateCredential(...request.args)
    case 'quote':
      return tpm.quote(...request.args)
    default: {
      const unknown: never = request
      throw new TpmError('TPM_PROCESS_FAILED', `unknown request ${String(unknown)}`)
    }
  }
}

async function answerTo(work: () => Promise<unknown>): Promise<TpmAnswer> {
  try {
    return { ok: true, value: await translate(work) }
  } catch (err) {
    if (!(err instanceof TpmError)) return { ok: false, code: 'TPM_REFUSED', message: messageOf(err) }
    const { code, message, rc } = err
    return rc === undefined ? { ok: false, code, message } : { ok: false, code, message, rc }
  }
}
