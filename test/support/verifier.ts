import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import pino from 'pino'
import { openStore, type Store } from '../../attestation/store/index.ts'
import {
  parseVerifierConfig,
  type RunningVerifier,
  startVerifier,
  type TrustFile,
  type VerifierConfig,
} from '../../attestation/verifier/index.ts'
import { tempDir } from './temp-dir.ts'

/** Permits what a proven node asks for; tests that are about policy write their own. */
export const PERMIT_AFFIRMED =
  '@id("affirmed") permit (principal, action, resource) when { principal.tier == "affirming" };\n'

export interface TestVerifierOptions {
  /** YAML of settings beside listen, dataDirectory and policies. */
  readonly settings?: string
  readonly policy?: string
  readonly now?: () => Date
}

/** A real verifier in this process, on a free port of loopback, with its own temporary directory. */
export interface TestVerifier {
  readonly directory: string
  readonly policyFile: string
  readonly config: VerifierConfig
  readonly trust: TrustFile
  readonly port: number
  /** Of the API, where the settings have one. */
  readonly apiPort: number | undefined
  /** PEM of the CA that issued its TLS certificate. */
  readonly ca: string
  /** The log so far, parsed. */
  readonly logLines: () => readonly Record<string, unknown>[]
  readonly reload: () => Promise<void>
  /** Opens the store as the operator's commands do. */
  readonly withStore: <T>(work: (store: Store) => Promise<T>) => Promise<T>
  /** Ends the verifier and starts it again on the same directory. */
  readonly restart: () => Promise<void>
  /** Ends the verifier and removes the directory. */
  readonly stop: () => Promise<void>
}

export async function startTestVerifier(options: TestVerifierOptions = {}): Promise<TestVerifier> {
  const dir = tempDir()
  const policies = join(dir.path, 'policies')
  mkdirSync(policies)
  const policyFile = join(policies, 'test.cedar')
  writeFileSync(policyFile, options.policy ?? PERMIT_AFFIRMED)
  const yaml = `listen: 127.0.0.1:0\ndataDirectory: ${dir.path}/data\npolicies: ${policies}\n${options.settings ?? ''}`
  const lines: Record<string, unknown>[] = []
  const sink = new Writable({
    write: (chunk, _encoding, done) => {
      lines.push(JSON.parse(String(chunk)))
      done()
    },
  })
  const config = parseVerifierConfig(yaml, 'verifier.yaml')
  const start = async (): Promise<RunningVerifier> =>
    await startVerifier(config, { log: pino({ level: 'debug' }, sink), ...(options.now && { now: options.now }) })
  let running: RunningVerifier
  try {
    running = await start()
  } catch (err) {
    dir.remove()
    throw err
  }
  return {
    directory: dir.path,
    policyFile,
    config,
    trust: running.trust,
    get port() {
      return running.port
    },
    get apiPort() {
      return running.api?.port
    },
    ca: readFileSync(join(dir.path, 'data/ca.pem'), 'utf8'),
    logLines: () => lines,
    reload: async () => await running.reload(),
    withStore: async (work) => {
      const store = await openStore(config.storeFile, { exclusive: false, create: false })
      try {
        return await work(store)
      } finally {
        await store.close()
      }
    },
    restart: async () => {
      await running.close()
      running = await start()
    },
    stop: async () => {
      await running.close()
      dir.remove()
    },
  }
}
