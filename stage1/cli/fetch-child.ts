import { text } from 'node:stream/consumers'
import { CodedError } from '../../attestation/base/index.ts'
import { openImageStore } from '../image/index.ts'
import type { FetchAnswer, FetchQuestion } from './fetch-in-child.ts'
import { carryOut, prepareForUser } from './fetch-request.ts'
import { giveUpRoot } from './give-up-root.ts'

/** The child of fetchInChild: reads what is asked for from standard input and answers on standard output. */
export async function serveFetch(): Promise<void> {
  const question = JSON.parse(await text(process.stdin)) as FetchQuestion // its parent, which is this program, wrote it
  process.stdout.write(JSON.stringify(await answerTo(question)))
}

async function answerTo({ dir, request }: FetchQuestion): Promise<FetchAnswer> {
  try {
    const store = openImageStore(dir)
    await prepareForUser([request])
    giveUpRoot(store)
    const { origin } = await carryOut(store, request)
    return { name: origin.name }
  } catch (err) {
    if (!(err instanceof CodedError)) throw err
    return { code: err.code, message: err.message }
  }
}
