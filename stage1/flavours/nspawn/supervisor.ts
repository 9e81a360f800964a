/** The host program that this flavour needs, as its manifest names it in `holdfast/stage1/host-programs`. */
export const SUPERVISOR = 'systemd-nspawn'

/** How many users a pod with a user namespace of its own has; holdfast-stage1 knows it, too (users.h). */
export const PRIVATE_USERS = 65_536

export interface SupervisorSettings {
  /** Absolute path of systemd-nspawn, which becomes argv[0]; what runs is the verified descriptor. */
  readonly program: string
  readonly podUuid: string
  readonly hostname: string
  /** Absolute path of the mounted stage1 root. */
  readonly root: string
  /** `pipe`: PID 1 has the caller's streams. `interactive`: a pseudo-terminal that goes to the caller's terminal. */
  readonly console: 'pipe' | 'interactive'
  /** The first of the pod's own users, outside; absent for a pod with the host's. */
  readonly firstUser?: number
  /** PID 1 of the pod and its arguments, as the stage1 image names them. */
  readonly run: readonly string[]
}

/**
 * Arguments of systemd-nspawn. User, capabilities, seccomp, limits and working directory are not its business here:
 * init sets them for each app. The options with `no` and `off` keep it from writing into the measured tree and from
 * speaking to the host's systemd; the kill signal lets the pod end in order.
 */
export function supervisorArguments(s: SupervisorSettings): string[] {
  return [
    s.program,
    '--quiet',
    '--register=no',
    '--keep-unit',
    '--settings=no',
    '--resolv-conf=off',
    '--timezone=off',
    '--link-journal=no',
    `--console=${s.console}`,
    '--kill-signal=SIGTERM',
    `--machine=holdfast-${s.podUuid}`,
    `--hostname=${s.hostname}`,
    `--uuid=${s.podUuid.replaceAll('-', '')}`,
    `--directory=${s.root}`,
    // whose files they are is launch's business: this would change the owner of every file
    ...(s.firstUser === undefined
      ? []
      : [`--private-users=${s.firstUser}:${PRIVATE_USERS}`, '--private-users-ownership=off']),
    '--',
    ...s.run,
  ]
}

/**
 * Its environment. Its own seccomp filter would take 45 ms to compile and reach every app alike; init loads one for
 * each app that was compiled before.
 */
export const SUPERVISOR_ENVIRONMENT: readonly string[] = [
  'SYSTEMD_SECCOMP=0',
  'SYSTEMD_LOG_LEVEL=warning',
  'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
]
