/**
 * Kernel command line of every guest. Its end is a reset at once (panic), which QEMU makes the end of the pod; the clock
 * is not checked against others for a second, and nothing waits for random numbers that the host gives anyway.
 */
export const KERNEL_ARGUMENTS =
  'console=ttyS0 quiet panic=-1 tsc=reliable no_timer_check rcupdate.rcu_expedited=1 random.trust_cpu=on'

/**
 * What makes an emulated processor bearable: no tests of ciphers, no mitigations against what it does not have, no
 * search for devices, no SHA-256 by vector instructions, which cost more to emulate than they save.
 */
const TCG_ARGUMENTS =
  'cryptomgr.notests mitigations=off init_on_alloc=0 i8042.nokbd i8042.noaux 8250.nr_uarts=1 module_blacklist=sha256_ssse3'

/** @param common the stage1 image's `holdfast/stage1/kernel-arguments` @param run `/init` and its arguments */
export function kernelCommandLine(common: string, accelerator: 'kvm' | 'tcg', run: readonly string[]): string {
  const [init = '', ...args] = run
  const own = [common, ...(accelerator === 'tcg' ? [TCG_ARGUMENTS] : []), `rdinit=${init}`]
  return `${own.join(' ')} -- ${args.join(' ')}`
}
