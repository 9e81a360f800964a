import { strict as assert } from 'node:assert'
import fc from 'fast-check'
import type { BootFacts, Fact } from '../../../attestation/appraisal/boot/index.ts'
import { imaStateStart } from '../../../attestation/appraisal/ima/index.ts'
import { commandLineArguments } from '../../../attestation/appraisal-policy/checks/command-line.ts'
import { applyPolicy, type PolicyFacts } from '../../../attestation/appraisal-policy/index.ts'
import { concatBytes, toHex, utf8 } from '../../../attestation/base/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import { appraiseLog } from '../../support/appraisal.ts'
import { fuzzRuns } from '../../support/fuzz.ts'
import { LogBuilder } from '../../support/launch-log.ts'
import { type VmSet, vmFacts } from '../../support/policy-facts.ts'
import { NOW, policyOf, ruleFinding } from './support.ts'

const KERNEL = '5f21ff2c0d5d899842b28a8b19901ba72cf7a7ab93c02a77fadc6ff72be85b31'
const SYSTEMD_BOOT = '7843e376e57323bcdfebcffc8d5109eb39721c83d8bedab1dfd6431596875c2c'
const INITRD = '6754556af4a3023ba8cf1510bc9ad0ca46a9cc70dc6f0db15504cc72ba6d5be0'
const PCR0 = 'd8279ad1f8ff0acfc4215a908d3bea9c32c09e763c621a4e9c97e2a62da6c164'
const OTHER = 'cd'.repeat(32)

const bootFacts = (facts: PolicyFacts): BootFacts => {
  if (facts.boot.state !== 'read') throw new TypeError('made with a log')
  return facts.boot.facts
}
/** Facts of a machine with some of its boot's facts others. */
function booted(set: VmSet, over: (boot: BootFacts) => Partial<BootFacts>): PolicyFacts {
  const facts = vmFacts(set)
  const boot = bootFacts(facts)
  return { ...facts, boot: { state: 'read', facts: { ...boot, ...over(boot) }, events: () => [] } }
}
const fact = <T>(value: T, proof: Fact<T>['proof'] = 'data', register = 7): Fact<T> => ({
  value,
  proof,
  source: 'firmware',
  register,
  event: 1,
})
const secure = (over: object): PolicyFacts =>
  booted('ovmf-sb-direct-kernel', ({ secureBoot }) => ({ secureBoot: { ...secureBoot, state: 'enabled', ...over } }))
const certificate = (id: string, subject: string) => ({
  kind: 'x509',
  id,
  subject,
  namespace: 'x',
  list: 'db',
  beforeSeparator: false,
})
const keys = (...ids: string[]) => ({
  sha256: toHex(digest('sha256', utf8(ids.join()))),
  count: ids.length,
  entries: ids.map((id) => ({ kind: 'sha256', id })),
})
const launchLog = (log: LogBuilder) => appraiseLog(log).state.boot?.log

interface Case {
  readonly name: string
  readonly rule: string
  readonly facts: () => PolicyFacts
  /** What is wrong; absent where the rule is satisfied. */
  readonly seen?: RegExp
}

const cases: readonly Case[] = [
  // whole registers
  {
    name: 'a register with its value',
    rule: `pcrs: {sha256: {0: ["${OTHER}", "${PCR0}"], 8: ["${'00'.repeat(32)}"]}}`,
    facts: () => vmFacts('ovmf-sdboot'),
  },
  {
    name: 'a register with another value',
    rule: `pcrs: {sha256: {0: ["${PCR0}"]}}`,
    facts: () => vmFacts('seabios-direct'),
    seen: /^PCR 0 of sha256 is e21b703e/,
  },
  {
    name: 'a register that was not quoted',
    rule: `pcrs: {sha256: {0: ["${PCR0}"]}}`,
    facts: () => vmFacts('ovmf-sdboot', {}, (pcr) => pcr !== 0),
    seen: /^PCR 0 of sha256 is not in the quote/,
  },
  {
    name: 'a register of a bank that was not quoted',
    rule: `pcrs: {sha384: {0: ["${'00'.repeat(48)}"]}}`,
    facts: () => vmFacts('ovmf-sdboot'),
    seen: /^PCR 0 of sha384 is not in the quote/,
  },

  // images
  {
    name: 'a known kernel',
    rule: `kernel: {digests: [{digest: "${KERNEL}", name: Linux}]}`,
    facts: () => vmFacts('ovmf-sdboot'),
  },
  {
    name: 'an unknown kernel',
    rule: `kernel: {digests: ["${OTHER}"]}`,
    facts: () => vmFacts('ovmf-sdboot'),
    seen: new RegExp(`^an unknown one, ${KERNEL}$`),
  },
  {
    name: 'a kernel that was started past the firmware',
    rule: `kernel: {digests: ["${KERNEL}"]}`,
    facts: () => vmFacts('ovmf-sb-direct-kernel'),
    seen: /started past the firmware/,
  },
  {
    name: 'a kernel of a BIOS',
    rule: `kernel: {digests: ["${KERNEL}"]}`,
    facts: () => vmFacts('seabios-direct'),
    seen: /no kernel is measured/,
  },
  {
    name: 'a kernel in a register that was not quoted',
    rule: `kernel: {digests: ["${KERNEL}"]}`,
    facts: () => vmFacts('ovmf-sdboot', {}, (pcr) => pcr !== 4),
    seen: /^PCR 4 is not in the quote/,
  },
  {
    name: 'a kernel whose digest is only in the log',
    rule: `kernel: {digests: ["${'ef'.repeat(48)}"]}`,
    facts: () =>
      booted('ovmf-sdboot', ({ applications }) => ({
        applications: applications.map((a) => ({
          ...a,
          value: { ...a.value, digests: { ...a.value.digests, sha384: 'ef'.repeat(48) } },
        })),
      })),
    seen: /^an unknown one, 5f21ff2c/,
  },
  {
    name: 'a kernel behind what the quote proves',
    rule: `kernel: {digests: ["${KERNEL}"]}`,
    facts: () =>
      booted('ovmf-sdboot', ({ applications }) => ({
        applications: applications.map((a) => ({ ...a, proof: 'not-yet' as const })),
      })),
    seen: /the log is ahead of the quote/,
  },
  {
    name: 'no log at all',
    rule: `kernel: {digests: ["${KERNEL}"]}`,
    facts: () => vmFacts('ovmf-sdboot', { boot: { state: 'absent' } }),
    seen: /^no firmware log is proved$/,
  },
  {
    name: 'a known boot loader',
    rule: `bootLoader: {digests: ["${SYSTEMD_BOOT}"]}`,
    facts: () => vmFacts('ovmf-sdboot'),
  },
  {
    name: 'an unknown boot loader',
    rule: `bootLoader: {digests: ["${KERNEL}"]}`,
    facts: () => vmFacts('ovmf-sdboot'),
    seen: /an unknown one, 7843e376/,
  },
  {
    name: 'no boot loader',
    rule: `bootLoader: {digests: ["${SYSTEMD_BOOT}"]}`,
    facts: () => vmFacts('ovmf-direct-kernel'),
    seen: /no boot loader is measured/,
  },
  { name: 'a known initrd', rule: `initrd: {digests: ["${INITRD}"]}`, facts: () => vmFacts('ovmf-direct-kernel') },
  {
    name: 'an unknown initrd',
    rule: `initrd: {digests: ["${OTHER}"]}`,
    facts: () => vmFacts('ovmf-direct-kernel'),
    seen: /an unknown one, 6754556a/,
  },
  {
    name: 'no initrd',
    rule: `initrd: {digests: ["${INITRD}"]}`,
    facts: () => vmFacts('seabios-direct'),
    seen: /no initrd is measured/,
  },

  // command lines
  {
    name: 'a command line with and without',
    rule: 'commandLine: {mustContain: [ima_policy=tcb, "console=*"], mustNotContain: [init=*]}',
    facts: () => vmFacts('ovmf-sdboot'),
  },
  {
    name: 'a command line that lacks something',
    rule: 'commandLine: {mustContain: [lockdown=*]}',
    facts: () => vmFacts('ovmf-sdboot'),
    seen: /^'lockdown=\*' is missing in: initrd=/,
  },
  {
    name: 'a command line that has something',
    rule: 'commandLine: {mustNotContain: ["rootfstype=*"]}',
    facts: () => vmFacts('ovmf-sdboot'),
    seen: /^'rootfstype=ramfs' must not be in/,
  },
  {
    name: 'part of an argument',
    rule: 'commandLine: {mustContain: [tcb]}',
    facts: () => vmFacts('ovmf-sdboot'),
    seen: /^'tcb' is missing/,
  },
  {
    name: 'only what is allowed',
    rule: 'commandLine: {allowed: ["initrd=*", "console=*", "panic=*", "rootfstype=*", "ima_*", "ta.*"]}',
    facts: () => vmFacts('ovmf-sdboot'),
  },
  {
    name: 'more than is allowed',
    rule: 'commandLine: {allowed: ["initrd=*", "console=*", "ima_*", "ta.*"]}',
    facts: () => vmFacts('ovmf-sdboot'),
    seen: /^'panic=-1' is not allowed/,
  },
  {
    name: 'a whole command line',
    rule: 'commandLine: {matches: ["initrd=* ta.nonce=*"]}',
    facts: () => vmFacts('ovmf-sdboot'),
  },
  {
    name: 'a whole command line that is another',
    rule: 'commandLine: {matches: ["ro quiet"]}',
    facts: () => vmFacts('ovmf-sdboot'),
    seen: /^no pattern fits in/,
  },
  {
    name: 'a command line of which the log has the digest only',
    rule: 'commandLine: {mustNotContain: [init=*]}',
    facts: () => vmFacts('ovmf-direct-kernel'),
    seen: /^only digests of command lines are in the log.*5f4a1232aa55/,
  },
  {
    name: 'a known digest of a command line',
    rule: 'commandLine: {mustContain: [x], digests: ["5f4a1232aa551af46ecdf144b1c18a07385eb1797a5c1accc2c316c5ccd5fe2c"]}',
    facts: () => vmFacts('ovmf-direct-kernel'),
  },
  {
    name: 'an unknown digest of a command line',
    rule: `commandLine: {mustContain: [x], digests: ["${OTHER}"]}`,
    facts: () => vmFacts('ovmf-direct-kernel'),
    seen: /by linux: an unknown digest 5f4a1232/,
  },
  {
    name: 'a text that is not proved',
    rule: 'commandLine: {mustContain: [ima_policy=tcb]}',
    facts: () =>
      booted('ovmf-sdboot', ({ commandLines }) => ({
        commandLines: commandLines.map((c) => ({ ...c, proof: 'refuted' as const })),
      })),
    seen: /does not replay, or the data is not/,
  },
  {
    name: 'one bad command line of two',
    rule: 'commandLine: {mustNotContain: [init=*]}',
    facts: () =>
      booted('ovmf-sdboot', ({ commandLines }) => ({
        commandLines: [
          ...commandLines,
          fact({ writer: 'grub' as const, text: 'quiet init=/bin/sh', digests: {} }, 'data', 8),
        ],
      })),
    seen: /^'init=\/bin\/sh' must not be/,
  },
  {
    name: 'no command line',
    rule: 'commandLine: {mustNotContain: [init=*]}',
    facts: () => vmFacts('seabios-direct'),
    seen: /^no command line is measured/,
  },

  // Secure Boot
  {
    name: 'Secure Boot that is off',
    rule: 'secureBoot: {enabled: true}',
    facts: () => vmFacts('ovmf-sdboot'),
    seen: /^disabled: the variable SecureBoot is 0/,
  },
  {
    name: 'Secure Boot that is off, and should be',
    rule: 'secureBoot: {enabled: false}',
    facts: () => vmFacts('ovmf-sdboot'),
  },
  {
    name: 'a variable that says on, and a boot past it',
    rule: 'secureBoot: {enabled: true}',
    facts: () => vmFacts('ovmf-sb-direct-kernel'),
    seen: /^unknown: the variable SecureBoot is 1, but/,
  },
  { name: 'Secure Boot that is on', rule: 'secureBoot: {enabled: true}', facts: () => secure({}) },
  {
    name: 'Secure Boot of a BIOS',
    rule: 'secureBoot: {enabled: true}',
    facts: () => vmFacts('seabios-direct'),
    seen: /measured no SecureBoot variable/,
  },
  {
    name: 'a variable that is not proved',
    rule: 'secureBoot: {enabled: true}',
    facts: () => secure({ variable: fact(true, 'not-quoted') }),
    seen: /^SecureBoot: PCR 7 is not in the quote/,
  },
  {
    name: 'a known certificate',
    rule: `secureBoot: {authorities: {allowed: ["${OTHER}"]}}`,
    facts: () => secure({ authorities: [fact(certificate(OTHER, 'CN=A'))] }),
  },
  {
    name: 'a known subject',
    rule: 'secureBoot: {authorities: {allowed: ["*CN=Debian*"]}}',
    facts: () => secure({ authorities: [fact(certificate(OTHER, 'C=X, CN=Debian CA'))] }),
  },
  {
    name: 'an unknown certificate',
    rule: 'secureBoot: {authorities: {allowed: ["*CN=Debian*"]}}',
    facts: () => secure({ authorities: [fact(certificate(OTHER, 'CN=Evil'))] }),
    seen: /^an image allowed by cdcd.* \(CN=Evil\) of db/,
  },
  {
    name: 'a certificate that is a claim',
    rule: 'secureBoot: {authorities: {allowed: ["*"]}}',
    facts: () => secure({ authorities: [fact(certificate(OTHER, 'CN=A'), 'digest')] }),
    seen: /only its digest is proved/,
  },
  {
    name: 'a certificate that must be, and is',
    rule: `secureBoot: {authorities: {required: ["${OTHER}"]}}`,
    facts: () => secure({ authorities: [fact(certificate(KERNEL, 'CN=B')), fact(certificate(OTHER, 'CN=A'))] }),
  },
  {
    name: 'a certificate that must be, and is not',
    rule: `secureBoot: {authorities: {required: ["${OTHER}"]}}`,
    facts: () => secure({ authorities: [fact(certificate(KERNEL, 'CN=B'))] }),
    seen: new RegExp(`^no image allowed by ${OTHER}`),
  },
  {
    name: 'no certificate at all',
    rule: 'secureBoot: {authorities: {allowed: ["*"]}}',
    facts: () => vmFacts('ovmf-sb-direct-kernel'),
    seen: /^nothing says which key/,
  },
  {
    name: 'enough entries in dbx',
    rule: 'secureBoot: {dbx: {minimumEntries: 1}}',
    facts: () => vmFacts('ovmf-sb-direct-kernel'),
  },
  {
    name: 'too few entries in dbx',
    rule: 'secureBoot: {dbx: {minimumEntries: 2}}',
    facts: () => vmFacts('ovmf-sb-direct-kernel'),
    seen: /^a dbx of 1 entries/,
  },
  {
    name: 'a hash in dbx',
    rule: `secureBoot: {dbx: {contains: ["${OTHER}"]}}`,
    facts: () => secure({ dbx: fact(keys(KERNEL, OTHER)) }),
  },
  {
    name: 'a hash that dbx lacks',
    rule: `secureBoot: {dbx: {contains: ["${OTHER}"]}}`,
    facts: () => secure({ dbx: fact(keys(KERNEL)) }),
    seen: new RegExp(`^dbx lacks ${OTHER}`),
  },
  {
    name: 'a dbx that is not proved',
    rule: `secureBoot: {dbx: {contains: ["${OTHER}"]}}`,
    facts: () => secure({ dbx: fact(keys(OTHER), 'refuted') }),
    seen: /^dbx: PCR 7 does not replay/,
  },
  {
    name: 'no dbx',
    rule: 'secureBoot: {dbx: {minimumEntries: 1}}',
    facts: () => vmFacts('seabios-direct'),
    seen: /measured no dbx/,
  },

  // versions
  {
    name: 'a version of firmware',
    rule: 'platformFirmware: {versions: [{match: "N2IET*", minimum: "75"}]}',
    facts: () => booted('ovmf-sdboot', () => ({ crtmVersion: fact('N2IET75W (1.53 )', 'data', 0) })),
  },
  {
    name: 'an older version of firmware',
    rule: 'platformFirmware: {versions: [{match: "N2IET*", minimum: "76"}]}',
    facts: () => booted('ovmf-sdboot', () => ({ crtmVersion: fact('N2IET75W (1.53 )', 'data', 0) })),
    seen: /^'N2IET75W \(1\.53 \)', older/,
  },
  {
    name: 'a version compared by number',
    rule: 'platformFirmware: {versions: [{match: "U1 v*", minimum: "2.9"}]}',
    facts: () => booted('ovmf-sdboot', () => ({ crtmVersion: fact('U1 v2.14', 'data', 0) })),
  },
  {
    name: 'a version without a number',
    rule: 'platformFirmware: {versions: [{match: "*", minimum: "1"}]}',
    facts: () => booted('ovmf-sdboot', () => ({ crtmVersion: fact('none', 'data', 0) })),
    seen: /older/,
  },
  {
    name: 'firmware of another maker',
    rule: 'platformFirmware: {versions: [{match: "U1*"}]}',
    facts: () => vmFacts('ovmf-sdboot'),
    seen: /^''$/,
  },
  {
    name: 'a version that is a claim',
    rule: 'platformFirmware: {versions: [{match: "*"}]}',
    facts: () => booted('ovmf-sdboot', () => ({ crtmVersion: fact('x', 'digest', 0) })),
    seen: /only its digest/,
  },
  {
    name: 'no version',
    rule: 'platformFirmware: {versions: [{match: "*"}]}',
    facts: () => vmFacts('seabios-direct'),
    seen: /measured no version/,
  },

  // TPMs
  {
    name: 'a TPM that is new enough',
    rule: 'tpmFirmware: {vendors: {IFX: {minimum: "7.85"}}}',
    facts: () => vmFacts('ovmf-sdboot'),
  },
  {
    name: 'a TPM that is too old',
    rule: 'tpmFirmware: {vendors: {IFX: {minimum: "7.86"}}}',
    facts: () => vmFacts('ovmf-sdboot'),
    seen: /^IFX 7\.85\.0\.0, older/,
  },
  {
    name: 'a TPM of another maker',
    rule: 'tpmFirmware: {vendors: {STM: {}}}',
    facts: () => vmFacts('ovmf-sdboot'),
    seen: /^IFX 7\.85\.0\.0, another maker/,
  },
  {
    name: 'a TPM of a maker that is left open',
    rule: 'tpmFirmware: {vendors: {STM: {}}, otherVendors: allow}',
    facts: () => vmFacts('ovmf-sdboot'),
  },
  {
    name: 'a TPM that nobody vouches for',
    rule: 'tpmFirmware: {knownVulnerable: refuse}',
    facts: () => vmFacts('ovmf-sdboot', { tpm: { firmwareVersion: 0n } }),
    seen: /^no EK certificate says who made/,
  },
  {
    name: 'a TPM with ROCA',
    rule: 'tpmFirmware: {knownVulnerable: refuse}',
    facts: () => vmFacts('ovmf-sdboot', { tpm: { manufacturer: 'IFX', firmwareVersion: 0x0007_003d_1234_0000n } }),
    seen: /CVE-2017-15361/,
  },
  {
    name: 'a TPM just behind ROCA',
    rule: 'tpmFirmware: {knownVulnerable: refuse}',
    facts: () => vmFacts('ovmf-sdboot', { tpm: { manufacturer: 'IFX', firmwareVersion: 0x0007_003e_0000_0000n } }),
  },
  {
    name: 'a TPM with TPM-FAIL',
    rule: 'tpmFirmware: {knownVulnerable: refuse}',
    facts: () => vmFacts('ovmf-sdboot', { tpm: { manufacturer: 'STM', firmwareVersion: 0x0049_0004_0000_0000n } }),
    seen: /CVE-2019-16863/,
  },
  {
    name: 'a TPM just behind TPM-FAIL',
    rule: 'tpmFirmware: {knownVulnerable: refuse}',
    facts: () => vmFacts('ovmf-sdboot', { tpm: { manufacturer: 'STM', firmwareVersion: 0x0049_0014_0000_0000n } }),
  },
  {
    name: 'a TPM with CVE-2023-1017',
    rule: 'tpmFirmware: {knownVulnerable: refuse}',
    facts: () => vmFacts('ovmf-sdboot', { tpm: { manufacturer: 'NTC', firmwareVersion: 0x0001_0003_0002_0008n } }),
    seen: /CVE-2023-1017/,
  },
  {
    name: 'a TPM in a range of the policy',
    rule: 'tpmFirmware: {denied: [{vendor: IFX, from: "7.80", to: "7.85", reason: because}]}',
    facts: () => vmFacts('ovmf-sdboot'),
    seen: /: because$/,
  },

  // banks, clock, launch log
  {
    name: 'a bank that is used',
    rule: 'banks: {required: [sha256], unused: refuse, sha1: refuse}',
    facts: () => vmFacts('ovmf-sdboot'),
  },
  {
    name: 'a bank that is not there',
    rule: 'banks: {required: [sha384]}',
    facts: () => vmFacts('ovmf-sdboot'),
    seen: /^no sha384 bank is quoted/,
  },
  {
    name: 'a bank that firmware left alone',
    rule: 'banks: {unused: refuse}',
    facts: () => {
      const f = vmFacts('ovmf-sdboot')
      return {
        ...f,
        registers: [
          ...f.registers,
          ...f.registers.map((r) => ({ ...r, bank: 'sha384' as const, value: new Uint8Array(48) })),
        ],
      }
    },
    seen: /^firmware measured nothing into bank sha384/,
  },
  {
    name: 'a bank of which nothing of firmware was quoted',
    rule: 'banks: {unused: refuse}',
    facts: () => vmFacts('ovmf-sdboot', {}, (pcr) => pcr > 7),
    seen: /^PCR 0 of sha256 is not in the quote/,
  },
  {
    name: 'no bank',
    rule: 'banks: {unused: refuse}',
    facts: () => vmFacts('ovmf-sdboot', { registers: [] }),
    seen: /^no bank is quoted/,
  },
  { name: 'a clock that was stopped in order', rule: 'clock: {safe: required}', facts: () => vmFacts('ovmf-sdboot') },
  {
    name: 'a clock that was not',
    rule: 'clock: {safe: required}',
    facts: () => vmFacts('ovmf-sdboot', { clock: { safe: false } }),
    seen: /lost power/,
  },
  {
    name: 'a clock that keeps time',
    rule: 'clock: {maxDriftPercent: 10}',
    facts: () => vmFacts('ovmf-sdboot', { clock: { safe: true, sinceLast: { tpmMs: 29_000, wallMs: 30_000 } } }),
  },
  {
    name: 'a clock of a machine that slept',
    rule: 'clock: {maxDriftPercent: 10}',
    facts: () => vmFacts('ovmf-sdboot', { clock: { safe: true, sinceLast: { tpmMs: 10_000, wallMs: 30_000 } } }),
    seen: /^10000 ms by the TPM in 30000 ms/,
  },
  {
    name: 'a clock that is no number',
    rule: 'clock: {maxDriftPercent: 10}',
    facts: () => vmFacts('ovmf-sdboot', { clock: { safe: true, sinceLast: { tpmMs: Number.NaN, wallMs: 30_000 } } }),
    seen: /NaN/,
  },
  {
    name: 'an agent that enforces',
    rule: 'launchLog: {mode: enforce, startValues: [], unticketed: refuse}',
    facts: () => vmFacts('ovmf-sdboot', { launchLog: launchLog(new LogBuilder().agent()) }),
  },
  {
    name: 'an agent that does not',
    rule: 'launchLog: {mode: enforce}',
    facts: () => vmFacts('ovmf-sdboot', { launchLog: launchLog(new LogBuilder().agent({ mode: 'audit' })) }),
    seen: /runs in mode audit/,
  },
  {
    name: 'an agent that obeys others',
    rule: `launchLog: {verifierKeys: ["${OTHER}"]}`,
    facts: () => vmFacts('ovmf-sdboot', { launchLog: launchLog(new LogBuilder().agent()) }),
    seen: /also obeys abab/,
  },
  {
    name: 'no launch log',
    rule: 'launchLog: {mode: enforce}',
    facts: () => vmFacts('ovmf-sdboot'),
    seen: /no launch log is proved/,
  },

  // events
  {
    name: 'only known applications',
    rule: `events: {pcr: 4, types: [EV_EFI_BOOT_SERVICES_APPLICATION], allowed: [{digests: ["${KERNEL}", "${SYSTEMD_BOOT}"]}]}`,
    facts: () => vmFacts('ovmf-sdboot'),
  },
  {
    name: 'an unknown application',
    rule: `events: {pcr: 4, types: [EV_EFI_BOOT_SERVICES_APPLICATION], allowed: [{digests: ["${KERNEL}"]}]}`,
    facts: () => vmFacts('ovmf-sdboot'),
    seen: new RegExp(`^an unknown EV_EFI_BOOT_SERVICES_APPLICATION, ${SYSTEMD_BOOT}`),
  },
  {
    name: 'more than the known events',
    rule: `events: {pcr: 4, allowed: [{digests: ["${KERNEL}", "${SYSTEMD_BOOT}"]}]}`,
    facts: () => vmFacts('ovmf-sdboot'),
    seen: /^an unknown EV_EFI_ACTION/,
  },
  {
    name: 'an event that must be',
    rule: 'events: {pcr: 4, required: [{text: "Calling EFI Application from Boot Option"}]}',
    facts: () => vmFacts('ovmf-sdboot'),
  },
  {
    name: 'an event that must be, and is not',
    rule: `events: {pcr: 4, required: [{name: the loader, digests: ["${OTHER}"]}]}`,
    facts: () => vmFacts('ovmf-sdboot'),
    seen: /^no the loader/,
  },
  {
    name: 'a text that only the log says',
    rule: 'events: {pcr: 4, required: [{text: "*vmlinuz*"}]}',
    facts: () => vmFacts('ovmf-sdboot'),
    seen: /^no '\*vmlinuz\*'/,
  },
  {
    name: 'an event that must not be',
    rule: 'events: {pcr: 4, forbidden: [{name: an application, type: EV_EFI_BOOT_SERVICES_APPLICATION}]}',
    facts: () => vmFacts('ovmf-sdboot'),
    seen: /^an application \(EV_EFI_BOOT_SERVICES_APPLICATION\)/,
  },
  {
    name: 'no event that must not be',
    rule: 'events: {pcr: 7, forbidden: [{text: "UEFI Debug Mode"}]}',
    facts: () => vmFacts('ovmf-sdboot'),
  },
  {
    name: 'events of a register that was not quoted',
    rule: 'events: {pcr: 7, forbidden: [{text: x}]}',
    facts: () => vmFacts('ovmf-sdboot', {}, (pcr) => pcr !== 7),
    seen: /^PCR 7 is not in the quote/,
  },
  {
    name: 'events without a log',
    rule: 'events: {pcr: 7, forbidden: [{text: x}]}',
    facts: () => vmFacts('ovmf-sdboot', { boot: { state: 'absent' } }),
    seen: /^no log of the boot is proved/,
  },

  // files
  {
    name: 'files that are all known',
    rule: 'ima: {excludes: ["/tmp/**"]}',
    facts: () => vmFacts('ovmf-sdboot', { ima: ima({ listed: 3 }) }),
  },
  {
    name: 'a file that is not',
    rule: 'ima: {excludes: ["/tmp/**"]}',
    facts: () => vmFacts('ovmf-sdboot', { ima: ima({ listed: 3, failures: { 'unknown-file': 1 } }) }),
    seen: /^1 entries are not allowed .*: unknown-file \/bin\/x: sha256:00, expected a known path/,
  },
  {
    name: 'a violation',
    rule: 'ima: {excludes: ["/tmp/**"]}',
    facts: () => vmFacts('ovmf-sdboot', { ima: ima({ listed: 3, failures: { violation: 1 } }) }),
    seen: /1 entries are not allowed/,
  },
  {
    name: 'a violation that is allowed',
    rule: 'ima: {excludes: ["/tmp/**"], violations: allow}',
    facts: () => vmFacts('ovmf-sdboot', { ima: ima({ listed: 3, failures: { violation: 1 } }) }),
  },
  {
    name: 'a list with nothing in it',
    rule: 'ima: {excludes: ["/tmp/**"]}',
    facts: () => vmFacts('ovmf-sdboot', { ima: ima({}) }),
    seen: /^IMA measured no file/,
  },
  {
    name: 'a list that does not replay',
    rule: 'ima: {excludes: ["/tmp/**"]}',
    facts: () => vmFacts('ovmf-sdboot', { ima: { state: 'refuted', why: 'forged' } }),
    seen: /does not replay to PCR 10: forged/,
  },
  {
    name: 'no list',
    rule: 'ima: {excludes: ["/tmp/**"]}',
    facts: () => vmFacts('ovmf-sdboot'),
    seen: /no list of IMA is proved/,
  },
]

function ima(counts: object, kind: 'unknown-file' | 'violation' = 'unknown-file'): PolicyFacts['ima'] {
  const start = imaStateStart(['sha256'])
  const failures = [{ kind, index: 7, name: '/bin/x', expected: 'a known path', seen: 'sha256:00' }]
  return { state: 'proved', list: { ...start, counts: { ...start.counts, ...counts }, failures } }
}

describe('a rule', () => {
  for (const { name, rule, facts, seen } of cases) {
    it(`is ${seen === undefined ? '' : 'not '}satisfied by ${name}`, () => {
      const found = ruleFinding(rule, facts())
      assert.equal(found.tier, seen === undefined ? 'affirming' : 'contraindicated', found.message)
      if (seen !== undefined) assert.match(found.seen ?? '', seen)
      assert.ok((found.expected ?? '').length > 0)
    })
  }

  describe('with `violations` says what a file is that was measured while it could be written', () => {
    const violated = () => vmFacts('ovmf-sdboot', { ima: ima({ listed: 3, failures: { violation: 2 } }, 'violation') })
    const worse = () =>
      vmFacts('ovmf-sdboot', { ima: ima({ listed: 3, failures: { violation: 2, 'unknown-file': 1 } }) })
    const table = [
      ['refuse', 'enforce', 'contraindicated', 'contraindicated'],
      ['refuse', 'warn', 'warning', 'warning'],
      ['refuse', 'observe', 'none', 'none'],
      ['warn', 'enforce', 'warning', 'contraindicated'],
      ['warn', 'warn', 'warning', 'warning'],
      ['warn', 'observe', 'none', 'none'],
      ['allow', 'enforce', 'affirming', 'contraindicated'],
    ] as const
    for (const [violations, mode, alone, withUnknown] of table) {
      it(`${violations}, in mode ${mode}: ${alone}, with an unknown file ${withUnknown}`, () => {
        const rule = `ima: {excludes: ["/tmp/**"], violations: ${violations}}`
        assert.equal(ruleFinding(rule, violated(), {}, mode).tier, alone)
        const both = ruleFinding(rule, worse(), {}, mode)
        assert.equal(both.tier, withUnknown)
        assert.match(both.seen ?? '', violations === 'allow' ? /^1 entries/ : /^3 entries/)
      })
    }

    it('and a list of nothing else is one of which no file was measured', () => {
      const only = vmFacts('ovmf-sdboot', { ima: ima({ failures: { violation: 1 } }, 'violation') })
      const found = ruleFinding('ima: {excludes: ["/tmp/**"], violations: warn}', only)
      assert.equal(found.tier, 'contraindicated')
      assert.match(found.seen ?? '', /^IMA measured no file/)
    })
  })

  it('names the event that it does not like', () => {
    const found = ruleFinding(`kernel: {digests: ["${OTHER}"]}`, vmFacts('ovmf-sdboot'))
    assert.deepEqual(found.event, { source: 'firmware', index: 24, register: { kind: 'pcr', index: 4 } })
  })

  it('is not satisfied by an application that the log calls something else', () => {
    const facts = vmFacts('ovmf-sdboot')
    if (facts.boot.state !== 'read') throw new TypeError('made with a log')
    const { events } = facts.boot
    const retyped: PolicyFacts = {
      ...facts,
      boot: {
        ...facts.boot,
        events: (of) =>
          [...events(of)].map((e) =>
            e.event.type === 'EV_EFI_BOOT_SERVICES_APPLICATION'
              ? { ...e, event: { ...e.event, type: 'EV_EFI_PLATFORM_FIRMWARE_BLOB' } }
              : e,
          ),
      },
    }
    const rule = `events: {pcr: 4, types: [EV_EFI_BOOT_SERVICES_APPLICATION], allowed: [{digests: ["${KERNEL}"]}]}`
    assert.match(ruleFinding(rule, retyped).seen ?? '', /^an unknown EV_EFI_PLATFORM_FIRMWARE_BLOB/)
  })

  it('reads a dbx update as the UEFI Forum publishes it, lists alone, and text', () => {
    const hash = new Uint8Array(32).fill(0xcd)
    const lists = concatBytes(
      new Uint8Array([0x26, 0x16, 0xc4, 0xc1, 0x4c, 0x50, 0x92, 0x40, 0xac, 0xa9, 0x41, 0xf9, 0x36, 0x93, 0x43, 0x28]),
      new Uint8Array([76, 0, 0, 0, 0, 0, 0, 0, 48, 0, 0, 0]),
      new Uint8Array(16),
      hash,
    )
    const update = concatBytes(
      new Uint8Array(16),
      new Uint8Array([28, 0, 0, 0, 0, 2, 0xf1, 0x0e]),
      new Uint8Array(20),
      lists,
    )
    for (const bytes of [lists, update, utf8(`# dbx\n${OTHER.toUpperCase()} bootkit\n\n`)]) {
      const rule = `secureBoot: {dbx: {atLeast: {file: dbx, sha256: "${toHex(digest('sha256', bytes))}"}}}`
      assert.equal(ruleFinding(rule, secure({ dbx: fact(keys(KERNEL, OTHER)) }), { dbx: bytes }).tier, 'affirming')
      const lacking = ruleFinding(rule, secure({ dbx: fact(keys(KERNEL)) }), { dbx: bytes })
      assert.match(lacking.seen ?? '', new RegExp(`^dbx lacks ${OTHER}`))
    }
  })

  it('has an outcome for any boot whose facts are not proved: never a good one', () => {
    const rules = cases.filter(
      (c) => c.seen === undefined && /kernel|bootLoader|initrd|commandLine|secureBoot|platformFirmware/.test(c.rule),
    )
    const proof = fc.constantFrom('not-quoted', 'not-extended', 'not-yet', 'refuted')
    fc.assert(
      fc.property(fc.constantFrom(...rules), proof, ({ rule, facts }, unproved) => {
        const made = facts()
        const weak = JSON.parse(JSON.stringify(bootFacts(made)), (key, value) => (key === 'proof' ? unproved : value))
        const found = ruleFinding(rule, { ...made, boot: { state: 'read', facts: weak, events: () => [] } })
        assert.equal(found.tier, 'contraindicated', rule)
      }),
      { numRuns: fuzzRuns(100) },
    )
  })

  it('is one of many that are applied at once', () => {
    const rules = Object.fromEntries(
      cases.filter((c) => !c.rule.startsWith('ima')).map((c, i) => [`r${i}`, `{mode: enforce, ${c.rule}}`]),
    )
    const policy = policyOf(rules)
    assert.equal(
      applyPolicy(policy, vmFacts('ovmf-sdboot'), NOW).findings.filter((f) => f.rule.startsWith('policy.')).length,
      Object.keys(rules).length,
    )
  })
})

describe('a kernel command line', () => {
  const lines: readonly (readonly [string, readonly string[]])[] = [
    ['', []],
    ['  a  b=c\t"d e" f="g h"\n', ['a', 'b=c', 'd e', 'f=g h']],
    ['a="b', ['a=b']],
    ['""', ['']],
    ['dyndbg="file x +p" init="/bin/sh"', ['dyndbg=file x +p', 'init=/bin/sh']],
  ]
  for (const [text, args] of lines) {
    it(`is split as the kernel does: ${JSON.stringify(text)}`, () => assert.deepEqual(commandLineArguments(text), args))
  }
})
