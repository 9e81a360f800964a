import { argumentRules } from './argument-rules.ts'
import { ALLOW, assemble, decide, errno, loadNumber, onCall } from './bpf.ts'
import { type FilterArch, systemCalls } from './syscalls.ts'

const EPERM = 1

/**
 * What the default filter refuses whatever the arguments: what lets an app reach beyond its pod or into little-tested
 * corners of the kernel.
 */
export const DEFAULT_REFUSED: readonly string[] = [
  // mounts and namespaces
  'mount umount2 pivot_root open_tree open_tree_attr move_mount fsopen fsconfig fsmount fspick mount_setattr setns',
  'quotactl quotactl_fd swapon swapoff',
  // the kernel itself
  'init_module finit_module delete_module kexec_load kexec_file_load reboot syslog acct bpf perf_event_open userfaultfd',
  'fanotify_init io_uring_setup io_uring_enter io_uring_register lookup_dcookie',
  // hardware
  'iopl ioperm',
  // keys are not separated by namespaces
  'add_key request_key keyctl',
  // a handle opens any file of the file system, also outside the app's root
  'open_by_handle_at',
  // the clock is the host's
  'settimeofday clock_settime clock_adjtime',
  // long dead
  'uselib ustat sysfs _sysctl create_module get_kernel_syms query_module nfsservctl vhangup',
].flatMap((line) => line.split(' '))

/**
 * The default seccomp filter of an app: everything is allowed but DEFAULT_REFUSED and what the arguments of some calls
 * would do. Refused calls fail with EPERM, so that programs which only try them go on.
 */
export function defaultSeccompFilter(arch: FilterArch): Uint8Array {
  const numbers = systemCalls(arch)
  const refusal = errno(EPERM)
  const rules = [...argumentRules(refusal)].flatMap(([name, body]) => {
    const nr = numbers.get(name)
    return nr === undefined ? [] : onCall(nr, body)
  })
  const refused = new Set(DEFAULT_REFUSED.flatMap((name) => numbers.get(name) ?? []))
  return assemble([...loadNumber(arch, refusal), ...rules, ...decide(refused, refusal, ALLOW)])
}
