import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { pino } from 'pino'
import { type Agent, startAgent } from '../../../agent/agent.ts'
import { loadAgentConfig } from '../../../agent/config/index.ts'
import { readIdentity } from '../../../agent/identity.ts'
import type { Tpm } from '../../../agent/ports.ts'
import { type Swtpm, type SwtpmOptions, startSwtpm } from '../../support/swtpm.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { tpmClient } from '../../support/tpm-client.ts'
import { startTestVerifier, type TestVerifier, type TestVerifierOptions } from '../../support/verifier.ts'

/** A node on a TPM simulator and a verifier that has listed its EK. */
export interface RealNode {
  readonly swtpm: Swtpm
  readonly verifier: TestVerifier
  readonly nodeId: string
  readonly directory: string
  readonly dataDirectory: string
  readonly socketPath: string
  readonly configFile: string
  /** What agents logged. */
  readonly lines: Record<string, unknown>[]
  /** Writes the configuration anew, with other settings at its end. */
  configure(settings: string, verifier?: string, tcti?: string): void
  /** An agent of this node in this process; stopped by stop() at the latest. */
  start(wrap?: (tpm: Tpm) => Tpm): Promise<Agent>
  stop(): Promise<void>
}

export async function makeRealNode(
  options: { readonly swtpm?: SwtpmOptions; readonly verifier?: TestVerifierOptions } = {},
): Promise<RealNode> {
  const dir = tempDir()
  const swtpm = await startSwtpm(options.swtpm ?? {})
  const agents: Agent[] = []
  let verifier: TestVerifier | undefined
  const stop = async () => {
    for (const agent of agents.splice(0)) await agent.stop()
    await verifier?.stop()
    await swtpm.stop()
    dir.remove()
  }
  try {
    await measureBoot(swtpm)
    const nodeId = await identify(swtpm)
    const { settings, ...rest } = options.verifier ?? {}
    const listed = `enrolment:\n  admission: listed\n  listed: [${nodeId}]\n`
    verifier = await startTestVerifier({ ...rest, settings: `${listed}${settings ?? ''}` })
    const trustFile = join(dir.path, 'trust.json')
    writeFileSync(trustFile, JSON.stringify(verifier.trust))
    const configFile = join(dir.path, 'agent.yaml')
    const url = `wss://127.0.0.1:${verifier.port}/v1/agent`
    const lines: Record<string, unknown>[] = []
    const node: RealNode = {
      swtpm,
      verifier,
      nodeId,
      directory: dir.path,
      dataDirectory: join(dir.path, 'data'),
      socketPath: join(dir.path, 'run', 'agent.sock'),
      configFile,
      lines,
      configure: (settings, block = `verifier:\n  url: ${url}\n  trust: ${trustFile}\n`, tcti = swtpm.tcti) =>
        writeFileSync(
          configFile,
          `tcti: "${tcti}"\ndataDirectory: ${dir.path}/data\nrunDirectory: ${dir.path}/run\n${block}${settings}`,
        ),
      start: async (wrap = (tpm) => tpm) => {
        const sink = new Writable({
          write: (chunk, _encoding, done) => {
            lines.push(JSON.parse(String(chunk)))
            done()
          },
        })
        const agent = await startAgent({
          loaded: await loadAgentConfig(configFile),
          tpm: wrap(tpmClient(swtpm.tcti)),
          logger: pino({ level: 'debug' }, sink),
          version: 'test',
          programSha256: 'a'.repeat(64),
        })
        agents.push(agent)
        return agent
      },
      stop,
    }
    mkdirSync(node.dataDirectory)
    node.configure('')
    return node
  } catch (err) {
    await stop()
    throw err
  }
}

/** As firmware would: a bank that nothing was measured into is a finding. */
export async function measureBoot(swtpm: Swtpm): Promise<void> {
  await swtpm.tool('tpm2_pcrextend', `0:sha256=${'11'.repeat(32)}`)
}

async function identify(swtpm: Swtpm): Promise<string> {
  const tpm = tpmClient(swtpm.tcti)
  try {
    return (await readIdentity(tpm)).nodeId
  } finally {
    await tpm.close()
  }
}

/** Waits until `probe` gives something; a test that waits for ever is ended by mocha with its title. */
export async function eventually<T>(probe: () => T | undefined | false): Promise<T> {
  for (;;) {
    const found = probe()
    if (found !== undefined && found !== false) return found
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
