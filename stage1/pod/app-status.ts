import { fromUtf8 } from '../../attestation/base/index.ts'
import { readPodFile, readPodText } from './pod-file.ts'

/** Why an app does not run any more, or never did. */
export type EndReason =
  /** It ended by itself, with its exit status. */
  | 'exited'
  /** A signal ended it. */
  | 'signal'
  /** The kernel ended it, because it or its neighbours in the control group took more memory than the limit. */
  | 'oom-killed'
  /** Its event handler failed, so it was not started, or did not end well. */
  | 'handler-failed'
  /** It was ended together with the pod's PID 1, which could write no status. */
  | 'killed-with-pod'

/** An app of a pod, as init tells of it (native/stage1/README.md, "What init writes"). */
export interface AppState {
  /** `waiting`, `pre-start`, `running`, `post-stop`, `restarting`, `ended`; absent before init has said anything. */
  readonly phase?: string
  /** In the pod's PID namespace; absent where its main process does not run. */
  readonly pid?: number
  readonly startedAt?: Date
  readonly finishedAt?: Date
  /** 128 and the number for a signal. */
  readonly exitStatus?: number
  readonly signal?: number
  readonly restarts: number
  readonly oomKills: number
  readonly reason?: EndReason
}

/** SIGKILL, which the OOM killer sends. */
const SIGKILL = 9

/**
 * @param podEnded whether nobody holds the pod's lock any more
 * @throws PodError POD_FILE_BAD, POD_DIRECTORY_FAILED
 */
export function readAppState(podPath: string, name: string, podEnded: boolean): AppState {
  const told = readJson(podPath, `status/${name}.json`)
  const status = exitStatusOf(told, podPath, name)
  const state: AppState = {
    ...member('phase', typeof told['phase'] === 'string' ? told['phase'] : undefined),
    ...member('pid', podEnded ? undefined : integer(told, 'pid') || undefined),
    ...member('startedAt', time(told, 'startedAtMs')),
    ...member('finishedAt', time(told, 'finishedAtMs')),
    ...member('exitStatus', status),
    ...member('signal', integer(told, 'signal')),
    restarts: integer(told, 'restarts') ?? 0,
    oomKills: integer(told, 'oomKills') ?? 0,
  }
  const reason = reasonOf(state, told['during'], podEnded)
  return reason === undefined ? state : { ...state, reason }
}

/** Of readAppState the exit status alone. @throws as that */
export function readExitStatus(podPath: string, name: string): number | undefined {
  return exitStatusOf(readJson(podPath, `status/${name}.json`), podPath, name)
}

function exitStatusOf(told: Readonly<Record<string, unknown>>, podPath: string, name: string): number | undefined {
  return integer(told, 'exitStatus') ?? decimal(podPath, `status/${name}`)
}

/** Of the pod as a whole: when every app had been executed. */
export function readReadyAt(podPath: string): Date | undefined {
  return time(readJson(podPath, 'status/_pod.json'), 'readyAtMs')
}

function reasonOf(s: AppState, during: unknown, podEnded: boolean): EndReason | undefined {
  if (s.exitStatus === undefined) return podEnded && s.phase !== undefined ? 'killed-with-pod' : undefined
  if (during === 'pre-start' || during === 'post-stop') return 'handler-failed'
  if (s.signal === SIGKILL && s.oomKills > 0) return 'oom-killed'
  return s.signal === undefined ? 'exited' : 'signal'
}

/** init replaces its files as a whole; what is none of its JSON tells nothing. */
function readJson(podPath: string, name: string): Readonly<Record<string, unknown>> {
  try {
    const text = readPodText(podPath, name)
    const value: unknown = text === undefined ? undefined : JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch (err) {
    if (err instanceof SyntaxError || err instanceof TypeError) return {}
    throw err
  }
}

function decimal(podPath: string, name: string): number | undefined {
  const bytes = readPodFile(podPath, name)
  const text = bytes === undefined ? '' : fromUtf8(bytes)
  return /^[0-9]{1,3}\n?$/.test(text) ? Number(text) : undefined
}

function integer(told: Readonly<Record<string, unknown>>, name: string): number | undefined {
  const value = told[name]
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : undefined
}

function time(told: Readonly<Record<string, unknown>>, name: string): Date | undefined {
  const ms = integer(told, name)
  return ms === undefined || ms < 0 || ms > 8.64e15 ? undefined : new Date(ms)
}

function member<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  const result: { [P in K]?: V } = {}
  if (value !== undefined) result[key] = value
  return result
}
