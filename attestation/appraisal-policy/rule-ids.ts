/** Areas of appraisal whose rules a policy can require. */
export const RULE_AREAS: readonly string[] = [
  'boot',
  'systemd',
  'ima',
  'launch-log',
  'quote',
  'continuity',
  'enrolment',
]

/**
 * Ids of appraisal rules, so that a slip of the pen is found when a policy is loaded. A test compares them with those
 * in the code.
 */
export const KNOWN_RULES: readonly string[] = [
  ...of(
    'boot',
    'after-separator bank-strength bank-unused banks boot-application data-digest debug-mode dma-protection',
  ),
  ...of(
    'boot',
    'efi-action-order empty-register event-data event-type exit-boot-services log measure-log no-action padding',
  ),
  ...of('boot', 'pcr7-order replay secure-boot selection separator startup-locality truncated variable-digest'),
  ...of('systemd', 'log'),
  ...of('ima', 'boot-aggregate replay'),
  ...of('continuity', 'clock counters'),
  ...of('enrolment', 'admission ek listed platform'),
  ...of(
    'launch-log',
    'agent-found banks bounds break duplicate-pod format images mode offset order register replay start ticket',
  ),
  ...of('launch-log', 'ticket-deadline tpm-start unticketed verifier-keys'),
  ...of('quote', 'bank-sha1 bank-unused'),
]

function of(area: string, names: string): string[] {
  return names.split(' ').map((name) => `${area}.${name}`)
}
