import { Command } from 'commander'
import { formatTable } from '../base/index.ts'
import { findNode, kindOf, type NodeEndorsement, type NodeRecord, type OperatorAct, operate } from '../store/index.ts'
import { ekCheckCommand } from './ek-check.ts'
import { configOption, formatOption, operatorName, parseLabels, withStore } from './options.ts'

interface ConfigOption {
  readonly config: string
}
interface ListOptions extends ConfigOption {
  readonly format: 'table' | 'json'
}

/** `holdfast nodes`: the operator's view of the machines, and the operator's acts. Works beside a running verifier. */
export function command(): Command {
  const nodes = new Command('nodes')
    .description('List, admit, refuse and release nodes. A running verifier notices within a second.')
    .addHelpText('after', EXAMPLES)
  nodes
    .command('list')
    .description('All nodes: who waits, who is trusted, and why not.')
    .addHelpText('after', STATES)
    .addOption(formatOption())
    .addOption(configOption())
    .action(async (options: ListOptions) => list(options))
  nodes
    .command('show')
    .argument('<node>', 'node ID, the beginning of one, or a host name')
    .description('One node, with its last verdicts and decisions.')
    .addOption(formatOption())
    .addOption(configOption())
    .action(async (node: string, options: ListOptions) => show(node, options))
  act(nodes, 'admit', 'Let nodes launch pods, as far as launch policies allow.', { act: 'admit' })
  act(nodes, 'refuse', 'Let nodes do nothing any more.', { act: 'refuse' })
  act(nodes, 'release', 'End the quarantine of nodes, after you have looked at them.', { act: 'release' })
  act(nodes, 'rebind', 'Accept another attestation key of the same TPM, when the old one was lost.', { act: 'rebind' })
  nodes.addCommand(ekCheckCommand())
  nodes
    .command('label')
    .argument('<node>', 'node ID, the beginning of one, or a host name')
    .argument('<label...>', 'KEY=VALUE to set, KEY- to remove')
    .description('Set labels, which launch policies can ask for.')
    .addOption(configOption())
    .action(async (node: string, words: string[], options: ConfigOption) =>
      carryOut(node, { act: 'label', ...parseLabels(words) }, options),
    )
  return nodes
}

const STATES = `
States: trusted, warning, failed (the last evidence), stale (silent for too long), pending (waits to be admitted, or to be
judged), quarantined (nothing of it is believed until an operator acts; also refused nodes).
`

const EXAMPLES = `
Examples:
  holdfast nodes list
  holdfast nodes admit 3f9a
  holdfast nodes label 3f9a zone=a rack-
  holdfast nodes show web-7.example --format=json
  holdfast nodes ek-check ek.der --roots /var/lib/holdfast-verifier/roots
`

function act(nodes: Command, name: string, description: string, what: OperatorAct): void {
  nodes
    .command(name)
    .argument('<node...>', 'node IDs, beginnings of them, or host names')
    .description(description)
    .addOption(configOption())
    .action(async (names: string[], options: ConfigOption) => {
      for (const node of names) await carryOut(node, what, options)
    })
}

async function carryOut(name: string, what: OperatorAct, options: ConfigOption): Promise<void> {
  await withStore(options.config, async (store) => {
    const node = await findNode(store, name)
    await operate(store, node.nodeId, what, operatorName())
    process.stdout.write(`${node.nodeId}\n`)
  })
}

/** In a table; `nodes show` has all of it. */
const MAX_REASON = 80

async function list(options: ListOptions): Promise<void> {
  const nodes = await withStore(options.config, async (store) => await store.nodes())
  if (options.format === 'json') {
    process.stdout.write(`${JSON.stringify(nodes.map(toJson), null, 2)}\n`)
    return
  }
  const rows = nodes.map((n) => [
    n.nodeId.slice(0, 12),
    n.attributes['hostname'] ?? '-',
    n.admission,
    n.standing,
    n.standingSince,
    labelText(n),
    n.standingReasons[0]?.message.slice(0, MAX_REASON) ?? '-',
  ])
  process.stdout.write(formatTable(['NODE', 'HOST', 'ADMISSION', 'STATE', 'SINCE', 'LABELS', 'WHY'], rows))
}

async function show(name: string, options: ListOptions): Promise<void> {
  const { node, verdicts, decisions } = await withStore(options.config, async (store) => {
    const node = await findNode(store, name)
    return {
      node,
      verdicts: await store.verdicts(node.nodeId, 10),
      decisions: await store.decisions(node.nodeId, 10),
    }
  })
  if (options.format === 'json') {
    process.stdout.write(`${JSON.stringify({ ...toJson(node), verdicts, decisions }, null, 2)}\n`)
    return
  }
  const facts = [
    ['node', node.nodeId],
    ['host', node.attributes['hostname'] ?? '-'],
    ...podFacts(node.endorsement?.host),
    ['admission', `${node.admission}${node.admittedBy === undefined ? '' : ` (${node.admittedBy})`}`],
    ['state', `${node.standing} since ${node.standingSince}`],
    ...node.standingReasons.map(({ rule, message }) => ['why', `${message} (${rule})`]),
    ['tier', node.tier],
    ...(node.quarantine === undefined ? [] : [['quarantine', node.quarantine]]),
    ['attestation key', node.ak?.name ?? 'none: waits for one (holdfast nodes rebind)'],
    ['EK certificate', node.ekCertificateSha256 ?? 'none: the EK is listed'],
    ...endorsementFacts(node.endorsement),
    ['labels', labelText(node)],
    ['first seen', node.createdAt],
  ]
  process.stdout.write(formatTable(undefined, facts))
  process.stdout.write('\nVerdicts, newest first:\n')
  process.stdout.write(
    formatTable(
      ['AT', 'TIER', 'FINDINGS'],
      verdicts.map((v) => [v.at, v.tier, findingText(v.findings)]),
    ),
  )
  process.stdout.write('\nDecisions, newest first:\n')
  process.stdout.write(
    formatTable(
      ['AT', 'POD', 'OUTCOME', 'WHY'],
      decisions.map((d) => [d.at, d.podUuid, d.outcome, d.reasons.join('; ')]),
    ),
  )
}

function podFacts(host: NodeEndorsement['host']): string[][] {
  return host === undefined ? [] : [['kind', `pod ${host.pod} of node ${host.node}`]]
}

function endorsementFacts(e: NodeEndorsement | undefined): string[][] {
  if (e === undefined) return []
  const { vendor, manufacturer, model, version } = e.tpm ?? {}
  const root = e.path[e.path.length - 1]
  const tpm = [vendor ?? manufacturer, model, version].filter((name) => name !== undefined)
  const p = e.platform
  const machine =
    p?.state === 'bound' ? [p.manufacturer, p.model, p.version, p.serial].filter((n) => n !== undefined) : []
  return [
    ['endorsed', `${e.at} (${e.kind}, validity policy ${e.validity})`],
    ...(tpm.length === 0 ? [] : [['TPM', tpm.join(' ')]]),
    ...(root === undefined ? [] : [['root', `${root.subject} (${root.fingerprint.slice(0, 16)})`]]),
    [
      'platform',
      p === undefined ? 'no certificate' : p.state === 'bound' ? machine.join(' ') : `${p.code}: ${p.message}`,
    ],
    ...e.findings.map((f) => ['note', `${f.message} (${f.rule})`]),
  ]
}

/** Members that are always there; what is not known is null. */
function toJson(n: NodeRecord) {
  return {
    nodeId: n.nodeId,
    kind: kindOf(n),
    host: n.endorsement?.host?.node ?? null,
    pod: n.endorsement?.host?.pod ?? null,
    admission: n.admission,
    admittedBy: n.admittedBy ?? null,
    tier: n.tier,
    standing: n.standing,
    standingSince: n.standingSince,
    standingReasons: n.standingReasons,
    quarantine: n.quarantine ?? null,
    akName: n.ak?.name ?? null,
    ekCertificateSha256: n.ekCertificateSha256 ?? null,
    endorsement: n.endorsement ?? null,
    labels: n.labels,
    attributes: n.attributes,
    createdAt: n.createdAt,
    updatedAt: n.updatedAt,
  }
}

function labelText(n: NodeRecord): string {
  const labels = Object.entries(n.labels).map(([key, value]) => `${key}=${value}`)
  return labels.join(' ') || '-'
}

function findingText(findings: unknown): string {
  if (!Array.isArray(findings)) return '-'
  const messages = findings
    .filter((f): f is { message: string } => typeof f === 'object' && f !== null && typeof f.message === 'string')
    .map((f) => f.message)
  return messages.join('; ') || '-'
}
