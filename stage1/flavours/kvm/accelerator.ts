import { KvmError } from './errors.ts'

/** What executes the guest's code: the processor itself, or QEMU's emulator. */
export type AcceleratorKind = 'kvm' | 'tcg'
/** What was asked for; `auto` is kvm where it works. */
export type AcceleratorChoice = AcceleratorKind | 'auto'

export interface Accelerator {
  readonly kind: AcceleratorKind
  /** For a person: why it is this one. */
  readonly reason: string
}

/** What the machine says of itself. */
export interface VirtualizationFacts {
  /** Why /dev/kvm cannot be opened for reading and writing. */
  readonly deviceError?: string
  /** Which of kvm_intel, kvm_amd and kvm_pvm the kernel runs. */
  readonly modules: readonly string[]
  /** `flags` of the first processor. */
  readonly processorFlags: readonly string[]
}

/** How a guest that does nothing but power off ended. */
export type ProbeResult = { readonly works: true } | { readonly works: false; readonly why: string }

/**
 * Why KVM cannot work here, as far as it is known without trying; undefined where it may. A device that can be opened
 * is not enough: in a guest of PVM, a stock kernel never boots.
 */
export function whyNoKvm(facts: VirtualizationFacts): string | undefined {
  if (facts.deviceError !== undefined) return `/dev/kvm cannot be used: ${facts.deviceError}`
  if (!facts.modules.some((name) => name === 'kvm_intel' || name === 'kvm_amd')) {
    return facts.modules.includes('kvm_pvm')
      ? '/dev/kvm is that of PVM, which runs no stock kernel'
      : 'neither kvm_intel nor kvm_amd is loaded'
  }
  return facts.processorFlags.some((flag) => flag === 'vmx' || flag === 'svm')
    ? undefined
    : 'the processor shows neither vmx nor svm'
}

/**
 * @param probe tried only where the answer needs it
 * @throws KvmError POD_ACCEL_MISSING where kvm is demanded and does not work
 */
export async function chooseAccelerator(
  choice: AcceleratorChoice,
  facts: () => VirtualizationFacts,
  probe: () => Promise<ProbeResult>,
): Promise<Accelerator> {
  if (choice === 'tcg') return { kind: 'tcg', reason: 'it was asked for' }
  const why = whyNoKvm(facts()) ?? whyProbeFailed(await probe())
  if (why === undefined) return { kind: 'kvm', reason: 'a guest booted and powered off' }
  if (choice === 'auto') return { kind: 'tcg', reason: why }
  throw new KvmError('POD_ACCEL_MISSING', `hardware virtualisation does not work on this machine: ${why}`, {
    hint: 'Emulation is slow and keeps an attacker less surely: where that will do, --accel auto or --accel tcg.',
  })
}

function whyProbeFailed(result: ProbeResult): string | undefined {
  return result.works ? undefined : result.why
}
