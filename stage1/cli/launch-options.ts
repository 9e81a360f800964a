import { UsageError } from '../../attestation/base/index.ts'
import {
  type AcceleratorWish,
  DEFAULT_AGENT_CONFIG,
  DEFAULT_AGENT_SOCKET,
  DEFAULT_TRUST_FILE,
  type Streams,
} from '../pod/index.ts'
import { NETWORK_OPTIONS, type NetworkOptions, readNetworkOptions } from './network-options.ts'
import type { OptionSpec, OptionValues } from './option-table.ts'
import { DEFAULT_STAGE0_SOCKET } from './stage0-protocol.ts'
import { readStreams, STREAMS_OPTIONS } from './streams-options.ts'

/** How a pod is launched, as `run` and `run-prepared` are asked for it. */
export interface PodLaunchOptions {
  readonly network: NetworkOptions
  readonly streams: Streams
  readonly agent: string
  readonly trust: string
  readonly agentConfig: string
  readonly accelerator: AcceleratorWish
}

/** Options of `run` and `run-prepared`. */
export const LAUNCH_OPTIONS: readonly OptionSpec[] = [
  ...NETWORK_OPTIONS,
  ...STREAMS_OPTIONS,
  { name: 'agent', value: 'SOCKET', of: 'command', help: [`the node agent (default ${DEFAULT_AGENT_SOCKET})`] },
  {
    name: 'trust',
    value: 'FILE',
    of: 'command',
    help: [`the verifier's trust.json, whose keys sign tickets (default ${DEFAULT_TRUST_FILE})`],
  },
  {
    name: 'agent-config',
    value: 'FILE',
    of: 'command',
    help: [
      "the agent's configuration; only where it says mode audit or off may the agent let a pod start without a ticket",
      `(default ${DEFAULT_AGENT_CONFIG})`,
    ],
  },
  {
    name: 'accel',
    value: 'auto|kvm|tcg',
    of: 'pod',
    help: [
      'of a virtual machine (--stage1=kvm): the virtualisation of the processor, or emulation, which is slow and no boundary to rely on;',
      'auto (default) takes kvm where it works and warns where it does not. It is measured and policies see it',
    ],
  },
]

/** `run` alone: native/stage0 has used it by the time that this code runs. */
export const STAGE0_OPTION: OptionSpec = {
  name: 'stage0',
  value: 'SOCKET|none',
  of: 'command',
  help: [`the stage0 server, which makes launches faster and is not needed (default ${DEFAULT_STAGE0_SOCKET})`],
}

/** @throws UsageError */
export function readLaunchOptions(o: OptionValues): PodLaunchOptions {
  return {
    network: readNetworkOptions(o),
    streams: readStreams(o),
    agent: o.last('agent') ?? DEFAULT_AGENT_SOCKET,
    trust: o.last('trust') ?? DEFAULT_TRUST_FILE,
    agentConfig: o.last('agent-config') ?? DEFAULT_AGENT_CONFIG,
    accelerator: readAccelerator(o.last('accel') ?? 'auto'),
  }
}

function readAccelerator(text: string): AcceleratorWish {
  if (text === 'auto' || text === 'kvm' || text === 'tcg') return text
  throw new UsageError(`--accel ${text.slice(0, 40)}: auto, kvm or tcg`)
}
