import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { utf8 } from '../../../attestation/base/index.ts'
import { EV } from '../../../attestation/event-log/index.ts'
import { type EvidenceFile, encodeEvidenceFile } from '../../../attestation/evidence-file/index.ts'
import {
  COLOURED,
  openEvidence,
  PLAIN,
  parseRegister,
  type ShownEvidence,
  type ShowOptions,
  showJson,
  shownEvidence,
  showText,
} from '../../../attestation/evidence-report/index.ts'
import { event, honestBoot } from '../../support/boot.ts'
import { FILES, madeEvidence } from '../../support/evidence.ts'
import { cryptoAgileLog } from '../../support/firmware-log.ts'
import { fileEntry } from '../../support/ima-log.ts'
import { vmEvidence } from '../../support/vm-evidence.ts'

const NOW = new Date('2026-03-01T12:00:00Z')
const shownOf = (file: EvidenceFile): ShownEvidence => shownEvidence(openEvidence(encodeEvidenceFile(file)), NOW)

function textOf(shown: ShownEvidence, options: Partial<ShowOptions> = {}): string {
  return [...showText(shown, { by: 'register', paint: PLAIN, verbose: false, ...options })].join('')
}

/** Proofs by log and register: how many events of each. */
function proofs(shown: ShownEvidence): Record<string, number> {
  const found: Record<string, number> = {}
  for (const { event: told, proof } of shown.events({ ima: true })) {
    const key = `${told.source} ${told.register.index} ${proof}`
    found[key] = (found[key] ?? 0) + 1
  }
  return found
}

describe('evidence that is shown', () => {
  it('of a real guest tells its boot, and what is proved of each event', () => {
    const text = textOf(shownOf(vmEvidence('ovmf-sdboot')))
    const expected = [
      /^ {2}TPM {17}swtpm swtpm id:20191023, as its EK certificate says$/m,
      /^ {2}verdict {13}signed by the AK of this file/m,
      /^ {2}nonce {15}768e721f6de5\w+, quoted as it is$/m,
      /^ {2}TPM start {11}2 resets, 0 restarts since; clock 0 days 00:00:16$/m,
      /^ {2}Secure Boot {9}disabled: the variable SecureBoot is 0$/m,
      /^ {2}started {13}\[digest only\] \\EFI\\BOOT\\BOOTX64\.EFI 7843e376e57323bc…$/m,
      /^ {2}command line {8}\[proved\] systemd: initrd=\\initrd\.img console=ttyS0/m,
      /^ {2}IMA replay {10}50 entries replay to PCR 10; 2 more came after the quote$/m,
      /^ {2}PCR 7 {9}6 events {2}replays {5}sha256 65caf8dd1e0ea7a6347b635d2b379c93b9a1351edc2afc3ecda700e534eb3068$/m,
      /^ {2}PCR 10 {7}52 events {2}replays .* IMA's list, which goes on for 2 more$/m,
      /^ {2}PCR 11 {8}0 events {2}untouched {3}as a TPM start leaves it$/m,
      /^PCR 12\n {4}25 {2}proved {8}EV_IPL {27}e778b1789c41 {2}command line: initrd=/m,
      /^ {4}23 {2}digest only {3}EV_EFI_BOOT_SERVICES_APPLICATION 7843e376e573/m,
      /^52 entries of IMA's list are not shown: --ima shows them$/m,
    ]
    for (const pattern of expected) assert.match(text, pattern)
    assert.doesNotMatch(text, /boot_aggregate sha256:/, 'entries of IMA only when they are asked for')
  })

  it('has every log, each event proved as far as the quote goes', () => {
    const { file } = madeEvidence({
      systemd: [
        { pcr: 11, type: 'phase', text: 'enter-initrd' },
        { pcr: 15, type: 'machine-id', text: 'machine-id:fafa' },
      ],
      imaLater: [fileEntry('/usr/bin/later', 'later')],
      launches: (log) => log.agent(),
    })
    const found = proofs(shownOf(file))
    assert.equal(found['systemd 11 data'], 1)
    assert.equal(found['systemd 15 data'], 1, 'what systemd measured before the launch log began')
    assert.equal(found['launch-log 15 data'], 1)
    assert.deepEqual([found['ima 10 data'], found['ima 10 not-yet']], [1 + FILES.length, 1])
    assert.equal(
      Object.keys(found).find((key) => key.endsWith('refuted')),
      undefined,
    )
    const text = textOf(shownOf(file))
    assert.match(text, /^ {2}agent {15}version 0\.1\.0, mode enforce, obeys abababababababab…$/m)
    assert.match(text, /^ {2}launch log {10}1 records replay to the quoted/m)
  })

  it('whose quote is refused proves nothing', () => {
    const { file } = madeEvidence()
    const signature = file.signature.slice()
    signature[20] = (signature[20] ?? 0) ^ 1
    const shown = shownOf({ ...file, signature })
    assert.equal(shown.quote.state, 'refused')
    assert.match(textOf(shown), /^the quote is refused: nothing in it is proved$/m)
    assert.match(textOf(shown), /verdict {13}refused, so that nothing is proved: .*\[quote\.signature\]/)
    for (const key of Object.keys(proofs(shown))) assert.match(key, /not-quoted$|not-extended$/)
  })

  it('whose log was changed is refuted in that register, and proved in the others', () => {
    const boot = honestBoot()
    const { file } = madeEvidence({ boot })
    const changed = boot.map((e) =>
      e.type === EV.EFI_BOOT_SERVICES_APPLICATION ? { ...e, measured: utf8('other') } : e,
    )
    const shown = shownOf({ ...file, logs: { ...file.logs, firmware: cryptoAgileLog(changed) } })
    const found = proofs(shown)
    assert.ok((found['firmware 4 refuted'] ?? 0) > 0)
    assert.equal(found['firmware 4 digest'], undefined)
    assert.ok((found['firmware 7 data'] ?? 0) > 0)
    assert.match(
      textOf(shown),
      /^ {2}PCR 4 .* refuted {5}sha256 \w{64} quoted {2}the log does not replay to it\n {38}sha256 \w{64} replayed$/m,
    )
  })

  it('whose lists break off says where, and proves what comes before', () => {
    const { file } = madeEvidence()
    const ima = file.logs.ima?.slice(0, -3) ?? new Uint8Array(0)
    const text = textOf(shownOf({ ...file, logs: { ...file.logs, ima } }), { ima: true })
    assert.match(text, /IMA replay {10}EVENT_LOG_TRUNCATED: record 2 at offset/)
    assert.match(text, /\/usr\/bin\/true sha256:/, 'what can be read is shown')
  })

  it('moves no cursor and has no colour of its own, whatever a machine says', () => {
    const hostile = '\u001b[31mred\r\n\u202egnp.exe\u0007\u009b2J'
    const { file } = madeEvidence({
      boot: [...honestBoot(), event(8, EV.IPL, utf8(`grub_cmd: ${hostile}\0`), utf8(hostile))],
      systemd: [{ pcr: 11, type: 'phase', text: hostile }],
      ima: [fileEntry(`/tmp/${hostile}`, 'x')],
      launches: (log) => log.agent({ version: `1 ${hostile}`.slice(0, 40) }),
    })
    const shown = shownOf({ ...file, hostname: hostile, collector: hostile })
    for (const by of ['register', 'time', 'source'] as const) {
      const text = textOf(shown, { by, verbose: true, ima: true })
      assert.doesNotMatch(text, /[^\n\P{Cc}]|\p{Cf}|[\u2028\u2029]/u)
      assert.match(text, /red/)
    }
    const json = [...showJson(shown, { ima: true })].join('')
    assert.doesNotMatch(json, /[^\n\P{Cc}]|\p{Cf}/u)
    assert.equal(JSON.parse(json).summary[0].text, hostile)
  })

  it('is one JSON object, with what the text has', () => {
    const shown = shownOf(madeEvidence().file)
    const json = JSON.parse([...showJson(shown, {})].join(''))
    assert.deepEqual([json.v, json.kind, json.quote.state], [1, 'evidence', 'verified'])
    assert.equal(json.events.length, [...shown.events()].length)
    const separator = json.events.find((e: { type: string }) => e.type === 'EV_SEPARATOR')
    assert.deepEqual(Object.keys(separator), ['source', 'index', 'register', 'type', 'text', 'digests', 'proof', 'why'])
    assert.deepEqual([separator.proof, separator.register], ['data', { kind: 'pcr', index: 7 }])
    assert.match(separator.digests.sha256, /^[0-9a-f]{64}$/)
    const pcr7 = json.registers.find((r: { register: string }) => r.register === 'PCR 7')
    assert.deepEqual([pcr7.state, pcr7.banks.length], ['replays', 1])
    assert.deepEqual(JSON.parse([...showJson(shown, { register: { kind: 'pcr', index: 20 } })].join('')).events, [])
  })

  it('can be of one register, of one log, by log, and in order', () => {
    const shown = shownOf(madeEvidence().file)
    const one = textOf(shown, { register: { kind: 'pcr', index: 7 } })
    assert.match(one, /\nPCR 7\n/)
    assert.doesNotMatch(one, /PCR 8/)
    const launch = textOf(shown, { source: 'launch-log' })
    assert.match(launch, /\nPCR 15\n {5}0 {2}proved {8}agent/)
    assert.doesNotMatch(launch, /EV_SEPARATOR/)
    assert.match(textOf(shown, { by: 'source' }), /from the firmware's log\n[\s\S]*from the launch log\n/)
    const inTime = textOf(shown, { by: 'time' })
    assert.match(inTime, /^ {5}8 {2}PCR 7 {3}firmware {3}proved {8}EV_SEPARATOR/m)
  })

  it('says why with --verbose, cuts lines at the terminal, and colours proofs', () => {
    const shown = shownOf(madeEvidence().file)
    const verbose = textOf(shown, { verbose: true, register: { kind: 'pcr', index: 4 } })
    assert.match(
      verbose,
      /digest only {3}EV_EFI_BOOT_SERVICES_APPLICATION[^\n]*\n {8}why: [^\n]+\n {8}sha256 [0-9a-f]{64}\n/,
    )
    for (const line of textOf(shown, { width: 100 }).split('\n')) {
      if (/^ {2} +\d+ {2}/.test(line)) assert.ok(line.length <= 100, line)
    }
    assert.ok(textOf(shown, { paint: COLOURED }).includes(COLOURED('good', 'proved       ')))
    assert.equal(COLOURED('bad', 'x'), '\u001b[1;31mx\u001b[0m')
  })

  it('never holds the entries of a long list at once', () => {
    const { file } = madeEvidence({ ima: Array.from({ length: 20_000 }, (_, i) => fileEntry(`/bin/${i}`, 'x')) })
    const shown = shownOf(file)
    const events = shown.events({ source: 'ima' })
    assert.equal(events.next().value?.event.index, 0)
    let last = 0
    for (const { event: told, proof } of events) {
      last = told.index
      assert.equal(proof, 'data')
    }
    assert.equal(last, 20_000)
  })

  it('is in README.md as it is', () => {
    const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8')
    const shown = textOf(shownOf(vmEvidence('ovmf-sb-direct-kernel')), { register: { kind: 'pcr', index: 7 } })
    const lines = shown.slice(shown.indexOf('\nBOOT\n') + 1).split('\n')
    const bytes = lines.map((line) =>
      Buffer.from(line)
        .subarray(0, 132)
        .toString()
        .replace(/\ufffd$/, ''),
    ) // as cut -c
    assert.ok(readme.includes(bytes.join('\n')), bytes.join('\n'))
  })

  it('takes registers by name', () => {
    assert.deepEqual(parseRegister('7'), { kind: 'pcr', index: 7 })
    assert.deepEqual(parseRegister('PCR 23'), { kind: 'pcr', index: 23 })
    assert.deepEqual(parseRegister('rtmr2'), { kind: 'rtmr', index: 2 })
    for (const text of ['24', 'rtmr4', '-1', 'seven', '']) assert.equal(parseRegister(text), undefined)
  })
})
