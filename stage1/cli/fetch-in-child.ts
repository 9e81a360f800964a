import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { CodedError, messageOf } from '../../attestation/base/index.ts'
import { findImage, ImageError, type ImageStore, type StoredImage } from '../image/index.ts'
import type { FetchRequest } from './fetch-request.ts'
import { installation } from './installation.ts'

/** Name of the command that runs serveFetch() (fetch-child.ts). */
export const FETCH_CHILD = '__fetch'

/** What the child is asked for. */
export interface FetchQuestion {
  readonly dir: string
  readonly request: FetchRequest
}

/** What the child writes: nothing but whether it worked, for what came of it is in the store. */
export type FetchAnswer = { readonly name: string } | { readonly code: string; readonly message: string }

/**
 * Fetches in a process of its own, which is not root where there is another user for it: a process that launches never
 * parses what others made.
 *
 * @returns the image as the store has it, read anew
 * @throws CodedError with the code that the child gave; ImageError IMAGE_FETCH_FAILED where it gave none
 */
export async function fetchInChild(store: ImageStore, request: FetchRequest): Promise<StoredImage> {
  const child = spawn(process.execPath, [installation().program, FETCH_CHILD], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = new Promise<number | string>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'unknown'))
  })
  child.stdin.on('error', () => {}) // it ended: its status says why
  const question: FetchQuestion = { dir: store.dir, request }
  child.stdin.end(JSON.stringify(question))
  const [output, status] = await Promise.all([text(child.stdout), ended])
  const answer = parseAnswer(output, status)
  if ('code' in answer) throw new CodedError(answer.code, answer.message)
  return findImage(store, answer.name, request.cwd)
}

function parseAnswer(output: string, status: number | string): FetchAnswer {
  try {
    const value: unknown = JSON.parse(output)
    if (typeof value === 'object' && value !== null) {
      if ('name' in value && typeof value.name === 'string') return { name: value.name }
      if ('code' in value && 'message' in value) return { code: String(value.code), message: String(value.message) }
    }
    throw new TypeError('it is no answer')
  } catch (cause) {
    throw new ImageError('IMAGE_FETCH_FAILED', `the process that fetches ended with ${status}: ${messageOf(cause)}`, {
      cause,
    })
  }
}
