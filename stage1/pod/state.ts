/** The directories of `pods/`, in the order of a pod's life. */
export const POD_DIRECTORIES = ['embryo', 'prepare', 'prepared', 'run', 'exited-garbage', 'garbage'] as const
export type PodDirectoryName = (typeof POD_DIRECTORIES)[number]

/** What a pod's directory and its lock say together (stage1/README.md). */
export type PodState =
  | 'embryo'
  | 'aborted'
  | 'preparing'
  | 'aborted-prepare'
  | 'prepared'
  | 'running'
  | 'exited'
  | 'deleting'
  | 'garbage'

/**
 * @param locked whether somebody holds the exclusive lock on the pod's directory
 */
export function podState(directory: PodDirectoryName, locked: boolean): PodState {
  switch (directory) {
    case 'embryo':
      return locked ? 'embryo' : 'aborted'
    case 'prepare':
      return locked ? 'preparing' : 'aborted-prepare'
    case 'prepared':
      return 'prepared'
    case 'run':
      return locked ? 'running' : 'exited'
    case 'exited-garbage':
    case 'garbage':
      return locked ? 'deleting' : 'garbage'
  }
}

/** Whether the pod will never run again by itself and may be removed. */
export function isRemovable(state: PodState): boolean {
  switch (state) {
    case 'aborted':
    case 'aborted-prepare':
    case 'prepared':
    case 'exited':
    case 'garbage':
      return true
    case 'embryo':
    case 'preparing':
    case 'running':
    case 'deleting':
      return false
  }
}
