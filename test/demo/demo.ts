import { readFileSync } from 'node:fs'
import { open, writeFile } from 'node:fs/promises'
import { release } from 'node:os'
import { join } from 'node:path'
import { nspawnStage1Image } from '../../stage1/flavours/nspawn/index.ts'
import { Deployment } from '../support/deployment.ts'
import { HOLDFAST_PROGRAM as HOLDFAST, PROJECT_ROOT, type Ran } from '../support/holdfast.ts'
import { configOptions } from '../support/image-policy.ts'
import { type Registry, startRegistry } from '../support/registry.ts'
import { startReplayingVerifier } from '../support/replaying-verifier.ts'
import { TPM_CC, TpmProxy } from '../support/tpm-proxy.ts'
import { buildImage, pushImage } from './image.ts'
import { describe, type Outcome, type Progress, refused } from './steps.ts'

/** The registry has no TLS: said when an image is fetched, and at each launch of it. */
const OVER_HTTP = '--insecure-options=http'
const GREETING = 'hello from a measured pod'

/** One verifier, one node, one registry; and everything that must and must not start on it. */
export class Demo {
  readonly #deployment: Deployment
  readonly #registry: Registry

  private constructor(deployment: Deployment, registry: Registry) {
    this.#deployment = deployment
    this.#registry = registry
  }

  /** Brings verifier and node up, enrols the node, builds the images and fetches them. */
  static async start(progress: Progress): Promise<Demo> {
    let registry: Registry | undefined
    const d = await progress.step('Manufacture a TPM 2.0 with EK and platform certificates (swtpm)', () =>
      Deployment.prepare({ policies: {}, stage0: true }),
    )
    try {
      registry = await progress.step('Start a registry (docker-registry)', () =>
        startRegistry(join(d.directory, 'registry')),
      )
      const demo = new Demo(d, registry)
      await progress.step('Build two images of static busybox (umoci) and push them (skopeo)', () =>
        demo.#buildImages(),
      )
      await progress.step('Fetch stage1 and images, every blob by its digest (holdfast fetch)', () => demo.#fetch())
      await progress.step('Start the verifier with launch policies (holdfast verifier)', () => d.startVerifier())
      await progress.step('Start the agent: EK certificate, credential activation, quote (holdfast agent)', () =>
        d.enrol(),
      )
      await progress.step('Start the stage0 server, for quick launches (holdfast stage0)', () => d.startStage0())
      return demo
    } catch (err) {
      await registry?.stop()
      await d.stop()
      throw err
    }
  }

  /** What must start, then what must not. */
  async show(progress: Progress): Promise<readonly Outcome[]> {
    const d = this.#deployment
    const uuidFile = join(d.directory, 'first.uuid')
    const launch = (...args: readonly string[]) => d.launch(OVER_HTTP, '--uuid-file-save', uuidFile, ...args)

    const permitted = await progress.step('Launch a pod that is permitted', () =>
      launch(this.#image('demo'), '--', 'sh', '-c', `echo ${GREETING}; exit 7`),
    )
    const uuid = readFileSync(uuidFile, 'utf8').trim()
    return [
      {
        name: 'permitted launch',
        expected: `"${GREETING}" and exit 7`,
        seen: `exit ${permitted.status}: ${permitted.stdout.trim()}${permitted.stderr}`,
        ok: permitted.status === 7 && permitted.stdout === `${GREETING}\n` && permitted.stderr === '',
      },
      await progress.step('Launch the same image as a virtual machine, with a kernel of its own', () =>
        this.#launchVirtualMachine(),
      ),
      refused(
        'refused by policy',
        'no-host-network',
        await progress.step('Launch a pod on the network of the host, which policy forbids', () =>
          d.launch(OVER_HTTP, '--net', 'host', this.#image('demo'), '--', 'echo', 'started all the same'),
        ),
      ),
      refused(
        'tampered image',
        'IMAGE_TREE_CHANGED',
        await progress.step('Change one byte of a rendered image and launch it', () => this.#launchTampered()),
      ),
      refused(
        'unknown stage1',
        'no permit policy matched',
        await progress.step('Launch under a stage1 that policy does not know', () => this.#launchUnderOtherStage1()),
      ),
      refused(
        'replayed ticket',
        'TICKET_WRONG_POD',
        await progress.step("Replay the first ticket, in the verifier's place and with its TLS key", () =>
          this.#launchWithReplayedTicket(uuid),
        ),
      ),
      await progress.step('kill -9 the agent in the middle of an extend, start it again', () =>
        this.#killInTheMiddleOfAnExtend(),
      ),
    ]
  }

  /** For `--keep`: what a person can do with what runs. */
  howToUse(): string {
    const d = this.#deployment
    const node = d.nodeOptions.join(' ')
    const pids = [d.stage0.pid, d.agent.pid, d.verifier.pid, d.tpm.pid, this.#registry.pid]
    return `
The fleet goes on running in ${d.directory}:
  ${HOLDFAST} run ${node} ${OVER_HTTP} ${this.#image('demo')} -- sh -c 'cat /etc/motd; id'
  ${HOLDFAST} list --dir ${d.dataDirectory}
  ${HOLDFAST} log --socket ${d.agentSocket}
  ${HOLDFAST} nodes list --config ${d.verifierConfig}
  curl --unix-socket ${d.agentSocket} http://localhost/v1/status
Launch policies are in ${d.policyDirectory}. After a change: kill -HUP ${d.verifier.pid}
To end it:
  ${HOLDFAST} rm --dir ${d.dataDirectory} $(${HOLDFAST} list --dir ${d.dataDirectory} --full --no-legend | cut -d' ' -f1)
  kill ${pids.join(' ')}; rm -r ${d.directory} ${d.tpm.directory}
`
  }

  async stop(): Promise<void> {
    await this.#registry.stop()
    await this.#deployment.stop()
  }

  #image(tag: string): string {
    return `docker://${this.#registry.host}/busybox:${tag}`
  }

  async #buildImages(): Promise<void> {
    const layout = join(this.#deployment.directory, 'layout')
    for (const tag of ['demo', 'victim']) {
      await buildImage(this.#deployment.directory, layout, tag, `This is busybox:${tag}.\n`)
      await pushImage(layout, tag, this.#image(tag))
    }
  }

  /** Policy names the stage1 by its tree digest, so it can be written when the stage1 has been rendered. */
  async #fetch(): Promise<void> {
    const d = this.#deployment
    const fetch = ['fetch', '--dir', d.dataDirectory, OVER_HTTP, ...configOptions(d.configDirectory)]
    await d.expect(...fetch, ...STAGE1S, this.#image('demo'), this.#image('victim'))
    const stage1s = [await this.#tree('stage1-nspawn'), await this.#tree('stage1-kvm')]
    await d.setPolicies({ '10-demo.cedar': policies(stage1s) })
  }

  /** Tree digest of the image in the store with this in its name. */
  async #tree(name: string): Promise<string> {
    const d = this.#deployment
    const images: unknown = JSON.parse(await d.expect('image', 'list', '--format=json', '--dir', d.dataDirectory))
    for (const image of Array.isArray(images) ? images : []) {
      if (String(image.name).includes(name)) return String(image.tree)
    }
    throw new Error(`the store has no image ${name}: ${JSON.stringify(images)}`)
  }

  async #launchTampered(): Promise<Ran> {
    const d = this.#deployment
    const tree = join(d.dataDirectory, 'trees', `${(await this.#tree('busybox:victim')).split(':').at(-1)}.erofs`)
    const file = await open(tree, 'r+')
    try {
      const { buffer } = await file.read(Buffer.alloc(1), 0, 1, 8192)
      await file.write(Uint8Array.of((buffer[0] ?? 0) ^ 1), 0, 1, 8192)
    } finally {
      await file.close()
    }
    return d.launch(OVER_HTTP, this.#image('victim'), '--', 'echo', 'started all the same')
  }

  /** What is in the log beside what the guest says of itself: kernel and accelerator. */
  async #launchVirtualMachine(): Promise<Outcome> {
    const d = this.#deployment
    const command = 'cat /etc/motd; cat /proc/sys/kernel/osrelease; exit 3'
    const ran = await d.launch(OVER_HTTP, '--stage1=kvm', this.#image('demo'), '--', 'sh', '-c', command)
    const log: unknown = JSON.parse(await d.expect('log', '--format=json', '--socket', d.agentSocket))
    const machine = Array.isArray(log) ? log.map((r) => r.content.machine).findLast((m) => m !== undefined) : undefined
    const [motd = '', kernel = ''] = ran.stdout.split('\n')
    return {
      name: 'virtual machine',
      expected: 'the image runs under another kernel, exit 3; kernel and accelerator are in the log',
      seen: `exit ${ran.status}: ${motd} Linux ${kernel}; measured: accelerator ${machine?.accelerator}, kernel ${machine?.kernel.slice(0, 12)}…`,
      ok: ran.status === 3 && motd === 'This is busybox:demo.' && kernel !== release() && machine !== undefined,
    }
  }

  /** One more byte behind the program: it works as well as the real one, and is another. */
  async #launchUnderOtherStage1(): Promise<Ran> {
    const d = this.#deployment
    const other = join(d.directory, 'other-stage1.aci')
    const program = readFileSync(join(PROJECT_ROOT, 'build/holdfast-stage1'))
    await writeFile(other, nspawnStage1Image(Buffer.concat([program, Buffer.of(0)]), process.arch))
    return d.launch(OVER_HTTP, '--stage1', other, this.#image('demo'), '--', 'echo', 'started all the same')
  }

  async #launchWithReplayedTicket(uuid: string): Promise<Ran> {
    const d = this.#deployment
    const ticket = await d.ticketOf(uuid)
    await d.agent.stop()
    await d.verifier.stop()
    const attacker = await startReplayingVerifier(d.verifierConfig, ticket)
    try {
      await d.startAgent()
      await d.waitForUplink('connected')
      return await d.launch(OVER_HTTP, this.#image('demo'), '--', 'echo', 'started all the same')
    } finally {
      await d.agent.stop()
      await attacker.stop()
      await d.startVerifier()
    }
  }

  /** The TPM carries the extend out, and the agent is dead before it hears of it. */
  async #killInTheMiddleOfAnExtend(): Promise<Outcome> {
    const d = this.#deployment
    const proxy = await TpmProxy.start(d.tpm.port)
    let cut: Ran
    try {
      d.agentTcti = proxy.tcti
      await d.startAgent()
      await d.waitForUplink('connected')
      const extended = new Promise<void>((resolve) => {
        proxy.rules = {
          afterResponse: ({ code }) => {
            if (code !== TPM_CC.PCR_Extend) return 'pass'
            resolve()
            return 'stall'
          },
        }
      })
      const launch = d.launch(OVER_HTTP, this.#image('demo'), '--', 'echo', 'started all the same')
      await extended
      await d.agent.stop('SIGKILL')
      cut = await launch
    } finally {
      d.agentTcti = d.tpm.tcti
      await proxy.stop()
    }
    await d.startAgent()
    const { log } = await d.waitForUplink('connected')
    const held = /0x([0-9A-F]{64})/.exec(await d.tpm.tool('tpm2_pcrread', 'sha256:15'))?.[1]?.toLowerCase()
    const again = await d.launch(OVER_HTTP, this.#image('demo'), '--', 'true')
    const inStep = log.settled && log.breaks === 0 && held === log.register.sha256
    return {
      name: 'kill -9 in an extend',
      expected: 'the launch fails with 254, log and PCR agree, the next launch works',
      seen: `cut launch ${describe(cut)}; log ${inStep ? 'and PCR agree' : 'and PCR DISAGREE'}; next launch exit ${again.status}`,
      ok: cut.status === 254 && cut.stdout === '' && inStep && again.status === 0,
    }
  }
}

const STAGE1S = ['nspawn', 'kvm'].map((flavour) => join(PROJECT_ROOT, `build/stage1-${flavour}.aci`))

/** The images come over plain HTTP from loopback, which is measured as `http` and must be permitted. */
function policies(stage1Trees: readonly string[]): string {
  return `@id("known-stage1")
@description("nodes that have just proved what they run may start pods under the stage1 images of this installation")
permit (principal, action == Action::"launch", resource)
when {
  principal.tier == "affirming" &&
  ${JSON.stringify(stage1Trees)}.contains(resource.stage1Tree) &&
  ["http"].containsAll(resource.relaxed)
};

@id("no-host-network")
@description("no pod shares the network of its host")
forbid (principal, action == Action::"launch", resource) when { resource.network == "host" };
`
}
