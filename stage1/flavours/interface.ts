/** The version of stage1/README.md that the flavours here keep to. */
export const INTERFACE_VERSION = 1

/** Annotations of a stage1 image's manifest; stage0 reads nothing else to know how to run it. */
export const STAGE1_ANNOTATIONS = {
  flavour: 'holdfast/stage1/flavour',
  interfaceVersion: 'holdfast/stage1/interface-version',
  /** PID 1 and its arguments, separated by spaces. */
  run: 'holdfast/stage1/run',
  /** Names of programs of the host that take part, separated by spaces. */
  hostPrograms: 'holdfast/stage1/host-programs',
} as const
