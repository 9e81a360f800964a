import { CodedError, codeOf, messageOf } from '../attestation/base/index.ts'
import type { AgentFailure } from './local-api/api.ts'

/** What to do about an error, by its code; the longest prefix that fits counts. */
const HINTS: Readonly<Record<string, string>> = {
  AGENT_CONFIG: 'Correct the configuration; config/agent.yaml of the project explains every setting.',
  AGENT_TRUST: "Copy trust.json from the verifier's data directory again, or name its keys in the configuration.",
  API_NOT_ALLOWED: 'Run it as root: sudo holdfast run ...',
  API_SOCKET_IN_USE: 'A node has one agent: stop the other one, or give this one another runDirectory.',
  API_SOCKET: 'Check runDirectory in the configuration, and that this user may write there.',
  API_UNREACHABLE:
    'Start the agent: systemctl start holdfast-agent; name its socket with --socket; use root or its group.',
  API: 'agent/README.md lists the requests.',
  ATTEST_REGISTER_MOVED: 'Find out what else extends the register of the launch log; holdfast log shows the break.',
  ATTEST_BANK: "Compare the TPM's allocated banks with what the verifier's policy asks for.",
  ATTEST: 'Try again; if it stays, look at the agent log.',
  ENTER_NOT_RUNNING: 'holdfast list shows the pods that run.',
  LAUNCH_BODY: 'Use the holdfast that belongs to this agent: holdfast version.',
  LAUNCH_LOG_LOCKED: 'A node has one agent: stop the other one, or give this one another dataDirectory.',
  LAUNCH_LOG_STORAGE:
    "Run as root or as the user whose the directory is, and free space on, or repair, dataDirectory's disk; nothing is launched until it can be written.",
  LAUNCH_LOG_REGISTER: 'Something else extended the register; holdfast log shows the break. Reboot to start clean.',
  LAUNCH_LOG_BANKS: "Correct 'banks' in the configuration, or reboot after the TPM's PCR allocation was changed.",
  LAUNCH_LOG_CORRUPT: 'Keep the file as evidence, move it away, or reboot: the verifier will notice either way.',
  LAUNCH_LOG: 'The agent compares log and TPM before the next launch; try again.',
  LAUNCH_QUEUE_FULL: 'Wait until the launches before it are done.',
  LAUNCH_REPEATED: 'Launch again; every launch makes a new pod.',
  LAUNCH_REQUEST: 'Use the holdfast that belongs to this agent: holdfast version.',
  TICKET_EXPIRED: 'Compare the clocks of node and verifier.',
  TICKET_NOT_YET_VALID: 'Compare the clocks of node and verifier.',
  TICKET_UNKNOWN_KEY: "Copy the verifier's trust.json again if its ticket key was changed on purpose.",
  TICKET_REGISTER_MOVED: 'Another event was measured first; launch again.',
  TICKET_TPM_RESTARTED: 'The TPM was started anew; launch again.',
  TICKET: 'The verifier gave a ticket that is not for this launch; look at its log before trying again.',
  TPM_TAMPERED:
    'Something between agent and TPM changes what they say: check tcti, who else uses the TPM, and its bus.',
  TPM: 'Check that the TPM is there and free: ls -l /dev/tpmrm0; tcti in the configuration names it.',
  TSS: 'Check that the TPM is there and free: ls -l /dev/tpmrm0; tcti in the configuration names it.',
  UPLINK_PENDING: 'An operator admits the node at the verifier: holdfast nodes admit NODE_ID.',
  UPLINK_REFUSED: "The verifier's log and holdfast nodes say why this node is not let in.",
  UPLINK_TLS_UNTRUSTED: "Compare tlsSpkiSha256 in trust.json with the verifier's; someone may be in between.",
  UPLINK:
    "Check the verifier's address and that it runs; curl --unix-socket SOCKET http://localhost/v1/status shows the uplink.",
}
const FALLBACK = 'Look at the log of the agent: journalctl -u holdfast-agent.'

/** Code, message and hint of anything that was thrown. */
export function describeFailure(err: unknown): AgentFailure {
  const code = codeOf(err) ?? 'INTERNAL'
  const keys = Object.keys(HINTS).filter((prefix) => code === prefix || code.startsWith(`${prefix}_`))
  const best = keys.reduce((a, b) => (b.length > a.length ? b : a), '')
  return { code, message: messageOf(err), hint: HINTS[best] ?? FALLBACK }
}

/** The same error for a person at a command line: with its hint. */
export class AgentCommandError extends CodedError {
  readonly hint: string
  constructor(err: unknown) {
    const { code, message, hint } = describeFailure(err)
    super(code, message, { cause: err })
    this.hint = hint
  }
}
