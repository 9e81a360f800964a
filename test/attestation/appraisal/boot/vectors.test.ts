import assert from 'node:assert/strict'
import { appraiseBoot, type BootAppraisal, type BootInput } from '../../../../attestation/appraisal/boot/index.ts'
import { concatBytes, fromHex } from '../../../../attestation/base/index.ts'
import { digest, type HashAlgorithm, hashSize } from '../../../../attestation/crypto/index.ts'
import { EV, pcrAfterStart, readFirmwareLog, replayRegister } from '../../../../attestation/event-log/index.ts'
import { decodeQuoteAttest, type PcrValue, pcrIndex } from '../../../../attestation/tpm2/index.ts'
import { faults } from '../../../support/boot-appraisal.ts'
import { externalVectors, skipWithoutVectors, type VectorSet } from '../../../support/vectors.ts'

type Values = { readonly [bank in HashAlgorithm]?: { readonly [pcr: string]: string } }

/** Values of a vector, which leaves out those that are as a TPM start leaves them. */
function quoteOfValues(values: Values, only?: readonly HashAlgorithm[]): PcrValue[] {
  // Object.entries() forgets the keys' type
  const banks = Object.entries(values) as [HashAlgorithm, { readonly [pcr: string]: string }][]
  return banks
    .filter(([bank]) => only?.includes(bank) ?? true)
    .flatMap(([bank, pcrs]) =>
      Array.from({ length: 24 }, (_, pcr) => {
        const text = pcrs[pcr]
        const value = text === undefined ? (pcrAfterStart(pcr, [bank])[bank] as Uint8Array) : fromHex(text)
        return { bank, pcr: pcrIndex(pcr), value }
      }),
    )
}

/** As IBM's and others' logs were replayed: a TPM that this log was extended into, in these banks. */
function extended(firmware: Uint8Array, banks: readonly HashAlgorithm[]): PcrValue[] {
  const { events } = readFirmwareLog(firmware)
  return banks.flatMap((bank) =>
    Array.from({ length: 24 }, (_, pcr) => {
      let value = pcrAfterStart(pcr, [bank])[bank] as Uint8Array
      for (const e of events) {
        const d = e.digests[bank]
        if (e.register === pcr && e.type !== EV.NO_ACTION && d !== undefined)
          value = digest(bank, concatBytes(value, d))
      }
      return { bank, pcr: pcrIndex(pcr), value }
    }),
  )
}

function read(set: VectorSet, path: string): Uint8Array {
  return path.endsWith('.b64') ? new Uint8Array(Buffer.from(set.text(path), 'base64')) : set.read(path)
}

function json<T>(set: VectorSet, path: string): T {
  return JSON.parse(set.text(path)) as T // a vector of known form
}

function replays(appraisal: BootAppraisal): void {
  const replay = appraisal.findings.filter((f) => f.rule === 'boot.replay')
  assert.deepEqual(
    replay.map((f) => f.tier),
    ['affirming'],
    replay.map((f) => f.message).join('; '),
  )
}

const NO_SECURE_BOOT = 'boot.secure-boot warning'
/** Firmware of AMI does not tell the end of boot services, and some logs were read before it. */
const NO_EXIT = 'boot.exit-boot-services warning'
const SHA1_ONLY = 'boot.bank-strength contraindicated'
const CUT = 'boot.truncated contraindicated'
const NO_IMAGE = 'boot.boot-application contraindicated'
const MAKERS_TYPE = 'boot.event-type warning'

/**
 * Every fault that a real log may have: none of an honest machine's is contraindicated, but for what is cut, or SHA-1
 * alone.
 */
const FAULTS: Readonly<Record<string, readonly string[]>> = {
  'google/rhel8-uefi.bin': [],
  'google/cos-85-amd-sev.bin': [],
  'google/ubuntu-1804-amd-sev.bin': [NO_SECURE_BOOT],
  'google/ubuntu-2104-no-secure-boot.bin': [NO_SECURE_BOOT],
  'google/debian-10.bin': [SHA1_ONLY, NO_EXIT],
  'google/glinux-alex.bin': [NO_EXIT, NO_SECURE_BOOT, 'boot.separator warning'],
  'google/arch-linux-workstation.bin': [NO_EXIT, NO_SECURE_BOOT],
  'go-attestation/coreos_36_shielded_vm_no_secure_boot_eventlog': [NO_SECURE_BOOT],
  'go-attestation/ubuntu_2104_shielded_vm_no_secure_boot_eventlog': [NO_SECURE_BOOT],
  'go-attestation/crypto_agile_eventlog': [NO_EXIT, NO_SECURE_BOOT],
  'go-attestation/sb_cert_eventlog': [NO_EXIT, CUT],
  'ibmtss/dell1.log': ['boot.banks warning'],
  'ibmtss/hp1.log': [NO_EXIT],
  'ibmtss/sm2.log': [NO_EXIT],
  'ibmtss/deb1.log': [MAKERS_TYPE],
  'tpm2-tss/binary_measurements_hcrtm.b64': [NO_SECURE_BOOT],
  'tpm2-tss/binary_measurements_nuc.b64': [SHA1_ONLY, NO_EXIT, NO_SECURE_BOOT],
  'tpm2-tools/event-uefi-sha1-log.bin': [SHA1_ONLY, NO_EXIT, NO_SECURE_BOOT],
  'tpm2-tools/event-bootorder.bin': [NO_SECURE_BOOT],
  'tpm2-tools/event-sd-boot-fedora37.bin': [NO_IMAGE, NO_SECURE_BOOT],
  'tpm2-tools/event.bin': [NO_IMAGE, NO_EXIT, 'boot.secure-boot none', CUT],
  'tpm2-tools/event-uefivar.bin': [NO_IMAGE, NO_EXIT, 'boot.secure-boot contraindicated', CUT],
}

describe('boots of other projects', () => {
  describe('replay to the registers that others computed', () => {
    it('with the faults that each has, and no other', function () {
      const set = externalVectors('eventlogs')
      if (set === undefined) skipWithoutVectors(this, 'eventlogs')
      const computed = json<Record<string, { readonly pcrs: Values }>>(set, 'replay-computed.json')
      for (const [file, { pcrs }] of Object.entries(computed)) {
        if (file.startsWith('ccel/') || Object.keys(pcrs).length === 0) continue
        const appraisal = appraiseBoot({ firmware: read(set, file), quoted: quoteOfValues(pcrs) })
        replays(appraisal)
        assert.deepEqual(faults(appraisal), [...(FAULTS[file] ?? ['?'])].sort(), file)
      }
    })

    it('bank by bank, and all of those that were published', function () {
      const set = externalVectors('eventlogs/google')
      if (set === undefined) skipWithoutVectors(this, 'eventlogs/google')
      const published = json<Record<string, { readonly published_pcrs: Values }>>(set, 'pcr-expected.json')
      for (const [file, { published_pcrs: values }] of Object.entries(published)) {
        for (const only of [undefined, ...Object.keys(values).map((bank) => [bank as HashAlgorithm])]) {
          const appraisal = appraiseBoot({ firmware: set.read(file), quoted: quoteOfValues(values, only) })
          replays(appraisal)
          const weak = only?.[0] === 'sha1' && !FAULTS[`google/${file}`]?.includes(SHA1_ONLY) ? [SHA1_ONLY] : []
          assert.deepEqual(faults(appraisal), [...(FAULTS[`google/${file}`] ?? ['?']), ...weak].sort(), file)
        }
      }
    })

    it('of a TDX guest, whose registers are others', function () {
      const set = externalVectors('eventlogs')
      if (set === undefined) skipWithoutVectors(this, 'eventlogs')
      const computed = json<Record<string, { readonly pcrs: Values }>>(set, 'replay-computed.json')
      for (const file of ['ccel/CCEL_data_ovmf', 'ccel/event_log-padded-64k.bin']) {
        const log = readFirmwareLog(set.read(file), { kind: 'ccel' })
        for (const [register, value] of Object.entries(computed[file]?.pcrs.sha384 ?? {})) {
          const events = log.events.filter((e) => e.register === Number(register) && e.type !== EV.NO_ACTION)
          const start = { sha384: new Uint8Array(hashSize('sha384')) }
          const replay = replayRegister(
            start,
            events.map((e) => e.digests),
            { sha384: fromHex(value) },
          )
          assert.equal(replay.proven, events.length, `${file} ${register}`)
        }
      }
    })
  })

  it('of hardware replay to what tpm2_eventlog computed', function () {
    const set = externalVectors('keylime/eventlogs-hw')
    if (set === undefined) skipWithoutVectors(this, 'keylime/eventlogs-hw')
    const expected: Readonly<Record<string, readonly string[]>> = {
      'ideapad-ideapad1': [],
      'inspur-inspur': [NO_EXIT, NO_SECURE_BOOT],
      'intel_svr-intel_svr': [MAKERS_TYPE],
      'puiterwijk-puiterwijk': [NO_EXIT, NO_SECURE_BOOT],
    }
    for (const [name, faulty] of Object.entries(expected)) {
      const firmware = set.read(`${name}.bin`)
      const values = valuesOfYaml(set.text(`${name}.yml`))
      // the tool failed on one of the logs and so tells no values of it
      const quoted = values === undefined ? extended(firmware, ['sha256']) : quoteOfValues(values)
      const appraisal = appraiseBoot({ firmware, quoted })
      replays(appraisal)
      assert.deepEqual(faults(appraisal), faulty, name)
    }
  })

  it('of a Google VM replay to its own quotes in three banks', function () {
    const set = externalVectors('quotes')
    if (set === undefined) skipWithoutVectors(this, 'quotes')
    const banks: Readonly<Record<number, HashAlgorithm>> = { 4: 'sha1', 11: 'sha256', 12: 'sha384' }
    for (const name of ['gce-cos-85-nonce9009', 'gce-cos-85-no-nonce']) {
      type Decoded = {
        readonly quotes: readonly { readonly bank: number; readonly pcrs: { readonly [pcr: string]: string } }[]
      }
      const { quotes } = json<Decoded>(set, `${name}.decoded.json`)
      const values: Values = Object.fromEntries(quotes.map(({ bank, pcrs }) => [banks[bank], pcrs]))
      const input: BootInput = {
        firmware: set.read(`${name}.eventlog.bin`),
        quoted: quoteOfValues(values),
        elsewhere: new Set([10]),
      }
      const appraisal = appraiseBoot(input)
      replays(appraisal)
      assert.deepEqual(faults(appraisal), [])
      assert.equal(appraisal.facts?.secureBoot.state, 'enabled')
      assert.equal(appraisal.facts?.memoryProtection?.value, 'amd-sev')
    }
  })

  it('of a software TPM replay together with a log in the form of systemd', function () {
    const set = externalVectors('swtpm/node')
    if (set === undefined) skipWithoutVectors(this, 'swtpm/node')
    const quoted = (name: string): PcrValue[] => {
      const values = set.read(`${name}.pcrs`)
      return decodeQuoteAttest(set.read(`${name}.attest`)).pcrSelections.flatMap(({ bank, pcrs }) =>
        pcrs.map((pcr, i) => ({ bank, pcr, value: values.slice(i * hashSize(bank), (i + 1) * hashSize(bank)) })),
      )
    }
    const firmware = set.read('eventlog.bin')
    const boot = appraiseBoot({ firmware, quoted: quoted('quote-boot') })
    replays(boot)
    assert.deepEqual(faults(boot), [NO_SECURE_BOOT])
    const systemd = { offset: 0, bytes: set.read('pods.tpm2-measure.log') }
    const pods = appraiseBoot({ firmware, systemd, quoted: quoted('quote-pods') })
    replays(pods)
    assert.deepEqual(faults(pods), [NO_SECURE_BOOT])
    assert.ok(pods.facts?.unifiedKernel.phases.every(({ proof, register }) => proof === 'data' && register === 15))
    assert.ok(
      faults(appraiseBoot({ firmware, quoted: quoted('quote-pods') })).includes('boot.empty-register contraindicated'),
    )
  })

  it('of a quote whose firmware log is lost are not known, and never affirming', function () {
    const set = externalVectors('keylime/bundles/swtpm-rhel9')
    if (set === undefined) skipWithoutVectors(this, 'keylime/bundles/swtpm-rhel9')
    const values = Object.fromEntries(
      [...set.text('pcrs.txt').matchAll(/^\s+(\d+)\s*: 0x([0-9A-F]{64})$/gm)].map((m) => [m[1], m[2]]),
    )
    const quoted = quoteOfValues({ sha256: values })
    assert.deepEqual(faults(appraiseBoot({ quoted })), [
      'boot.bank-strength none',
      'boot.banks none',
      'boot.log none',
      'boot.replay none',
    ])
    const other = externalVectors('eventlogs')?.read('google/rhel8-uefi.bin')
    if (other !== undefined)
      assert.ok(faults(appraiseBoot({ firmware: other, quoted })).includes('boot.replay contraindicated'))
  })
})

/** The section `pcrs:` of tpm2_eventlog; undefined where it stopped before. */
function valuesOfYaml(text: string): Values | undefined {
  const [, section] = text.split(/^pcrs:$/m)
  if (section === undefined) return undefined
  const values: { [bank: string]: { [pcr: string]: string } } = {}
  let bank = ''
  for (const line of section.split('\n')) {
    const head = /^ {2}(sha\d+):$/.exec(line)
    const value = /^\s+(\d+)\s*: 0x([0-9a-f]+)$/.exec(line)
    if (head?.[1] !== undefined) bank = head[1]
    else if (value?.[1] !== undefined && value[2] !== undefined)
      values[bank] = { ...values[bank], [value[1]]: value[2] }
  }
  return values
}

describe('attacks on a boot, of other projects', () => {
  /** The rule that must refuse each; what only replays otherwise than the quote is told by boot.replay. */
  const refusedBy: Readonly<Record<string, readonly string[]>> = {
    'evtype-swap-pcr7.bin': ['boot.event-type', 'boot.pcr7-order', 'boot.separator', 'boot.exit-boot-services'],
    'bootloader-masquerade-pcr4.bin': ['boot.event-type', 'boot.exit-boot-services'],
    'tail-truncated.bin': ['boot.replay'],
    'cut-mid-event.bin': ['boot.log'],
    'startup-locality-forged.bin': ['boot.replay', 'boot.startup-locality'],
    'duplicate-separator-pcr7.bin': ['boot.separator', 'boot.exit-boot-services'],
    'separator-digest-mismatch.bin': ['boot.separator', 'boot.data-digest', 'boot.truncated'],
    'event-size-4g.bin': ['boot.log'],
    'digest-count-2g.bin': ['boot.log'],
    'ff-padded.bin': [],
  }

  it('are refused by the rules that say why', function () {
    const set = externalVectors('eventlogs/attacks')
    if (set === undefined) skipWithoutVectors(this, 'eventlogs/attacks')
    const attacks = json<readonly { readonly file: string; readonly pcrs_sha256?: Record<string, string> }[]>(
      set,
      'expected.json',
    )
    const untouched = attacks.find((a) => a.file === 'ff-padded.bin')?.pcrs_sha256 ?? {}
    const against = new Set(['tail-truncated.bin', 'startup-locality-forged.bin'])
    for (const { file, pcrs_sha256 } of attacks) {
      const values = against.has(file) ? untouched : (pcrs_sha256 ?? untouched)
      const appraisal = appraiseBoot({ firmware: set.read(file), quoted: quoteOfValues({ sha256: values }) })
      const refused = faults(appraisal).filter((fault) => fault.endsWith(' contraindicated'))
      for (const rule of refusedBy[file] ?? ['?'])
        assert.ok(refused.includes(`${rule} contraindicated`), `${file}: ${rule}`)
      assert.equal(refused.length > 0, file !== 'ff-padded.bin', file)
      assert.notEqual(appraisal.facts?.secureBoot.state, 'enabled', file)
    }
  })

  it('replay where the attacker extended the register too, so that only the rules refuse them', function () {
    const set = externalVectors('eventlogs/attacks')
    if (set === undefined) skipWithoutVectors(this, 'eventlogs/attacks')
    const attacks = json<readonly { readonly file: string; readonly pcrs_sha256?: Record<string, string> }[]>(
      set,
      'expected.json',
    )
    for (const { file, pcrs_sha256 } of attacks) {
      if (pcrs_sha256 === undefined || file === 'startup-locality-forged.bin') continue
      replays(appraiseBoot({ firmware: set.read(file), quoted: quoteOfValues({ sha256: pcrs_sha256 }) }))
    }
  })

  it('on the form: a log of TPM 1.2 in JSON is refused cleanly', function () {
    const set = externalVectors('eventlogs/go-attestation')
    if (set === undefined) skipWithoutVectors(this, 'eventlogs/go-attestation')
    const appraisal = appraiseBoot({ firmware: set.read('linux_tpm12.json'), quoted: [] })
    assert.ok(faults(appraisal).includes('boot.log contraindicated'))
  })
})
