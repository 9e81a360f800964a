import assert from 'node:assert/strict'
import { appraiseBoot, type BootAppraisal } from '../../../../attestation/appraisal/boot/index.ts'
import { hashSize } from '../../../../attestation/crypto/index.ts'
import { decodeQuoteAttest, type PcrValue } from '../../../../attestation/tpm2/index.ts'
import { faults } from '../../../support/boot-appraisal.ts'
import { copiedVectors, type VectorSet } from '../../../support/vectors.ts'

/** The kernel extends it, and its log is not in these sets. */
const IMA = new Set([10])

/** The values that the guest's TPM quoted. */
function quoted(set: VectorSet, name: string): PcrValue[] {
  const values = set.read(`${name}/quote.pcrs`)
  let at = 0
  return decodeQuoteAttest(set.read(`${name}/quote.msg`)).pcrSelections.flatMap(({ bank, pcrs }) =>
    pcrs.map((pcr) => {
      const value = values.slice(at, at + hashSize(bank))
      at += hashSize(bank)
      return { bank, pcr, value }
    }),
  )
}

/** Authenticode digests that the set's INDEX names. */
const SYSTEMD_BOOT = '7843e376e57323bcdfebcffc8d5109eb39721c83d8bedab1dfd6431596875c2c'
const KERNEL = '5f21ff2c0d5d899842b28a8b19901ba72cf7a7ab93c02a77fadc6ff72be85b31'
const INITRD = '6754556af4a3023ba8cf1510bc9ad0ca46a9cc70dc6f0db15504cc72ba6d5be0'

describe('boots of real guests with a quote of their TPM', () => {
  const set = copiedVectors('vm')
  const appraise = (name: string, elsewhere = IMA): BootAppraisal =>
    appraiseBoot({ firmware: set.read(`${name}/binary_bios_measurements`), quoted: quoted(set, name), elsewhere })

  const expected: Readonly<Record<string, readonly string[]>> = {
    'ovmf-direct-kernel': ['boot.secure-boot warning'],
    'ovmf-after-reboot': ['boot.secure-boot warning'],
    'ovmf-sdboot': ['boot.secure-boot warning'],
    'seabios-direct': ['boot.boot-application warning', 'boot.secure-boot warning'],
    'ovmf-sb-direct-kernel': ['boot.boot-application contraindicated', 'boot.secure-boot contraindicated'],
  }
  for (const name of set.list()) {
    it(`replays ${name}, and finds ${expected[name]?.join(', ')}`, () => {
      const appraisal = appraise(name)
      assert.equal(appraisal.findings.find((f) => f.rule === 'boot.replay')?.tier, 'affirming')
      assert.deepEqual(faults(appraisal), expected[name])
    })
  }

  it('prove every event of a log that replays, by data or by digest', () => {
    for (const name of set.list()) {
      const proofs = new Set([...appraise(name).timeline()].map(({ proof }) => proof))
      assert.ok(
        [...proofs].every((proof) => ['data', 'digest', 'not-extended'].includes(proof)),
        name,
      )
    }
  })

  it('know a kernel that was started past the firmware, although Secure Boot says on', () => {
    const { facts } = appraise('ovmf-sb-direct-kernel')
    assert.equal(facts?.bootMeasured, false)
    assert.deepEqual(facts?.applications, [])
    assert.equal(facts?.secureBoot.variable?.value, true)
    assert.equal(facts?.secureBoot.state, 'unknown')
    assert.match(facts?.secureBoot.why ?? '', /started past the firmware/)
  })

  it('tell what a boot loader and the kernel measured, and who did', () => {
    const { facts } = appraise('ovmf-sdboot')
    assert.equal(facts?.bootMeasured, true)
    assert.deepEqual(
      facts?.applications.map((a) => [a.value.digests['sha256'], a.value.phase, a.proof]),
      [
        [SYSTEMD_BOOT, 'boot', 'digest'],
        [KERNEL, 'boot', 'digest'],
      ],
    )
    assert.equal(facts?.applications[0]?.value.file, '\\EFI\\BOOT\\BOOTX64.EFI')
    const [loader, stub] = facts?.commandLines ?? []
    assert.deepEqual([loader?.value.writer, loader?.register, loader?.proof], ['systemd', 12, 'data'])
    assert.match(loader?.value.text ?? '', /^initrd=\\initrd\.img console=ttyS0/)
    assert.deepEqual(
      [stub?.value.writer, stub?.register, stub?.proof, stub?.value.text],
      ['linux', 9, 'digest', undefined],
    )
    assert.deepEqual(
      facts?.initrds.map((i) => [i.value.name, i.value.digests['sha256'], i.proof]),
      [['Linux initrd', INITRD, 'digest']],
    )
    assert.deepEqual(facts?.bootOrder?.value, [1, 0, 2])
  })

  it('tell a kernel of QEMU itself from one of a boot option', () => {
    const { facts } = appraise('ovmf-direct-kernel')
    assert.deepEqual(
      facts?.applications.map((a) => a.value.phase),
      ['firmware'],
    )
    assert.equal(facts?.firmware, 'uefi')
    assert.equal(appraise('seabios-direct').facts?.firmware, 'bios')
  })

  it('refuse the log of one guest with the quote of another', () => {
    const firmware = set.read('ovmf-sdboot/binary_bios_measurements')
    const appraisal = appraiseBoot({ firmware, quoted: quoted(set, 'ovmf-direct-kernel'), elsewhere: IMA })
    const refused = appraisal.findings.filter((f) => f.rule === 'boot.replay')
    assert.ok(refused.length > 0 && refused.every((f) => f.tier === 'contraindicated'))
    assert.deepEqual(
      appraisal.facts?.commandLines.map((line) => line.proof),
      ['not-yet', 'refuted'], // PCR 12 is zero in the other guest
    )
  })

  it("say so where IMA's register is quoted and nobody appraises it", () => {
    assert.ok(faults(appraise('ovmf-sdboot', new Set())).includes('boot.empty-register contraindicated'))
  })
})
