import assert from 'node:assert/strict'
import { toHex, utf8 } from '../../../../attestation/base/index.ts'
import { digest } from '../../../../attestation/crypto/index.ts'
import { EV } from '../../../../attestation/event-log/index.ts'
import {
  CERTIFICATE,
  config,
  dbx,
  event,
  GLOBAL,
  honestBoot,
  KERNEL,
  LOADER,
  OWNER,
  SHIM,
} from '../../../support/boot.ts'
import { appraise, EXIT_AT, GOOD, inserted } from '../../../support/boot-appraisal.ts'
import { signatureList, tagged, u32, utf16, variableData, type WrittenEvent } from '../../../support/firmware-log.ts'

const sha256 = (bytes: Uint8Array): string => toHex(digest('sha256', bytes))

function factsOf(...events: WrittenEvent[]) {
  const { facts } = appraise(inserted(EXIT_AT, ...events))
  assert.ok(facts !== undefined)
  return facts
}

describe('facts of a boot', () => {
  const facts = factsOf()

  it('say that Secure Boot is on only with everything that belongs to it', () => {
    assert.equal(facts.secureBoot.state, 'enabled')
    assert.deepEqual(
      [facts.secureBoot.variable?.value, facts.secureBoot.variable?.proof, facts.secureBoot.variable?.register],
      [true, 'data', 7],
    )
    assert.equal(appraise(honestBoot({ secureBoot: false })).facts?.secureBoot.state, 'disabled')
  })

  it('name the entries of PK, KEK, db and dbx, and who put them there', () => {
    const certificate = { kind: 'x509', id: sha256(CERTIFICATE), owner: OWNER }
    assert.deepEqual(facts.secureBoot.pk?.value.entries, [certificate])
    assert.deepEqual(facts.secureBoot.db?.value.entries, [certificate])
    assert.equal(facts.secureBoot.dbx?.value.count, 3)
    assert.deepEqual(facts.secureBoot.dbx?.value.entries[1], { kind: 'sha256', id: sha256(u32(1)), owner: OWNER })
    assert.equal(facts.secureBoot.dbx?.value.sha256, sha256(dbx(3)))
  })

  it('name what allowed each image', () => {
    assert.deepEqual(
      facts.secureBoot.authorities.map(({ value }) => [value.list, value.id, value.beforeSeparator]),
      [['db', sha256(CERTIFICATE), false]],
    )
    assert.equal(facts.applications[0]?.value.authority, 0)
  })

  it('list images by digest and path, in the order in which they were started', () => {
    assert.deepEqual(
      facts.applications.map(({ value, proof }) => [value.file, value.digests['sha256'], value.phase, proof]),
      [['\\EFI\\example\\grubx64.efi', sha256(LOADER), 'boot', 'digest']],
    )
    assert.equal(facts.bootMeasured, true)
  })

  it('tell version, firmware volumes, boot options and order', () => {
    assert.deepEqual([facts.crtmVersion?.value, facts.crtmVersion?.proof], ['Example 1.2', 'data'])
    assert.equal(facts.firmwareBlobs[0]?.value.digests['sha256'], sha256(utf8('firmware volume')))
    assert.equal(facts.firmwareBlobs[0]?.proof, 'digest')
    assert.deepEqual([facts.bootOrder?.value, facts.bootOrder?.proof], [[1], 'data'])
    assert.deepEqual(
      facts.bootOptions.map(({ value }) => [value.name, value.description, value.active]),
      [['Boot0001', 'Example', true]],
    )
    assert.equal(facts.bootAttempts, 1)
  })

  it('tell what GRUB did, which files it read, and the command line it gave', () => {
    assert.deepEqual(
      facts.grub.commands.map(({ value, proof }) => [value, proof]),
      [0, 1, 2].map((i) => [`set number=${i}`, 'data']),
    )
    assert.deepEqual(
      facts.grub.files.map(({ value, proof }) => [value.name, value.digests['sha256'], proof]),
      [
        ['/boot/vmlinuz', sha256(KERNEL), 'digest'],
        ['/boot/initrd.img', sha256(utf8('the initrd')), 'digest'],
      ],
    )
    const [line] = facts.commandLines
    assert.deepEqual(
      [line?.value.writer, line?.value.text, line?.proof],
      ['grub', '/boot/vmlinuz root=/dev/sda1 ro', 'data'],
    )
  })

  it('tell the separators, the end of boot services, and that there was no dynamic launch', () => {
    assert.deepEqual(facts.separators.map(({ register }) => register).sort(), [0, 1, 2, 3, 4, 5, 6, 7])
    assert.ok(facts.separators.every(({ value, proof }) => value === 'boot' && proof === 'data'))
    assert.equal(facts.exitBootServices, 'logged')
    assert.equal(facts.dynamicLaunch, 'none')
    assert.equal(facts.startupLocality, 0)
  })

  it('tell the sections of a unified kernel image by their content, and its command line by digest', () => {
    const section = (name: string, content: string): WrittenEvent[] => {
      const data = utf16(`${name}\0`)
      return [event(11, EV.IPL, data, utf8(`${name}\0`)), event(11, EV.IPL, data, utf8(content))]
    }
    const { unifiedKernel, commandLines, initrds } = factsOf(
      ...section('.linux', 'a kernel'),
      ...section('.cmdline', 'quiet'),
      ...section('.initrd', 'an initrd'),
    )
    assert.deepEqual(
      unifiedKernel.sections.map(({ value }) => [value.name, value.digests['sha256']]),
      [
        ['.linux', sha256(utf8('a kernel'))],
        ['.cmdline', sha256(utf8('quiet'))],
        ['.initrd', sha256(utf8('an initrd'))],
      ],
    )
    const line = commandLines.at(-1)
    assert.deepEqual(
      [line?.value.writer, line?.value.digests['sha256']],
      ['unified-kernel-image', sha256(utf8('quiet'))],
    )
    assert.equal(initrds[0]?.value.digests['sha256'], sha256(utf8('an initrd')))
  })

  it("tell what the kernel's EFI stub measured", () => {
    const { commandLines, initrds } = factsOf(
      event(9, EV.EVENT_TAG, tagged(0x8f3b22ed, utf8('LOADED_IMAGE::LoadOptions\0')), utf16('quiet\0')),
      event(9, EV.EVENT_TAG, tagged(0x8f3b22ec, utf8('Linux initrd\0')), utf8('an initrd')),
    )
    assert.deepEqual(commandLines.at(-1)?.value, { writer: 'linux', digests: { sha256: sha256(utf16('quiet\0')) } })
    assert.deepEqual(initrds[0]?.value.digests, { sha256: sha256(utf8('an initrd')) })
  })

  it("tell shim's lists and its revision of SBAT", () => {
    const list = signatureList('a5c059a1-94e4-4aa7-87b5-ab155c2bf072', [{ owner: OWNER, data: CERTIFICATE }])
    const { shim } = factsOf(
      event(14, EV.IPL, utf8('MokList\0'), list),
      config(SHIM, 'MokListX', new Uint8Array(0)),
      event(7, EV.EFI_VARIABLE_AUTHORITY, variableData(SHIM, 'SbatLevel', utf8('sbat,1,2024010900\n'))),
    )
    assert.deepEqual(shim.variables[0]?.value, { name: 'MokList', digests: { sha256: sha256(list) } })
    assert.deepEqual([shim.lists[0]?.value.name, shim.lists[0]?.value.count], ['MokListX', 0])
    assert.match(shim.sbatLevel?.value ?? '', /^sbat,1,2024010900/)
  })

  it('tell audit and deployed mode', () => {
    const separator = GOOD.findIndex((e) => e.register === 7 && e.type === EV.SEPARATOR)
    const modes = [config(GLOBAL, 'AuditMode', Uint8Array.of(0)), config(GLOBAL, 'DeployedMode', Uint8Array.of(1))]
    const told = appraise(inserted(separator, ...modes)).facts
    assert.deepEqual([told?.secureBoot.auditMode?.value, told?.secureBoot.deployedMode?.value], [false, true])
  })

  it('are JSON, with everything that is made when asked for', () => {
    const told = JSON.parse(JSON.stringify(facts))
    assert.equal(told.secureBoot.dbx.value.entries.length, 3)
    assert.equal(told.grub.files[0].value.digests.sha256, sha256(KERNEL))
  })

  it('are not proved where the register does not replay, is not quoted, or the quote does not reach', () => {
    const proof = (options: Parameters<typeof appraise>[1]) => appraise(GOOD, options).facts?.commandLines[0]?.proof
    assert.equal(proof({ extended: inserted(0, event(8, EV.IPL, utf8('before'))) }), 'refuted')
    assert.equal(proof({ pcrs: [0, 1, 2, 3, 4, 5, 6, 7] }), 'not-quoted')
    assert.equal(proof({ extended: GOOD.filter((e) => e.register !== 8) }), 'not-yet')
  })

  it('of a log that ends too early are there, and tell what is absent', () => {
    const cut = appraise(GOOD.slice(0, 4)).facts
    assert.ok(cut?.separators.every(({ value }) => value === 'absent'))
    assert.equal(cut?.exitBootServices, 'absent')
    assert.equal(cut?.bootMeasured, false)
  })

  it('leave out what has not the form of its type, and keep its digest', () => {
    const odd = factsOf(event(4, EV.EFI_BOOT_SERVICES_APPLICATION, utf8('no image load event'), KERNEL))
    assert.deepEqual(
      [odd.applications[1]?.value.path, odd.applications[1]?.value.digests['sha256']],
      ['', sha256(KERNEL)],
    )
  })
})
