import assert from 'node:assert/strict'
import { concatBytes, utf8 } from '../../../../attestation/base/index.ts'
import { EV } from '../../../../attestation/event-log/index.ts'
import {
  action,
  application,
  authority,
  CALLING,
  config,
  EXIT,
  event,
  GLOBAL,
  honestBoot,
  KERNEL,
  LOADER,
  localityEvent,
  RETURNING,
  SECURITY,
  separator,
} from '../../../support/boot.ts'
import {
  APPLICATION,
  AUTHORITY,
  appraise,
  at,
  EXIT_AT,
  faults,
  GOOD,
  inserted,
  type Options,
  replaced,
  retyped,
  SEPARATOR_4,
  SEPARATOR_7,
  tierOf,
  without,
} from '../../../support/boot-appraisal.ts'
import { guid, u32, variableData, type WrittenEvent } from '../../../support/firmware-log.ts'

const ALL_RULES = [
  'boot.after-separator',
  'boot.bank-strength',
  'boot.bank-unused',
  'boot.banks',
  'boot.boot-application',
  'boot.data-digest',
  'boot.debug-mode',
  'boot.dma-protection',
  'boot.efi-action-order',
  'boot.empty-register',
  'boot.event-data',
  'boot.event-type',
  'boot.exit-boot-services',
  'boot.log',
  'boot.no-action',
  'boot.padding',
  'boot.pcr7-order',
  'boot.replay',
  'boot.secure-boot',
  'boot.selection',
  'boot.separator',
  'boot.startup-locality',
  'boot.truncated',
  'boot.variable-digest',
]

describe('the rules of a boot', () => {
  it('all speak, and find no fault in an honest boot', () => {
    const appraisal = appraise(GOOD)
    assert.deepEqual(faults(appraisal), [])
    assert.deepEqual([...new Set(appraisal.findings.map((f) => f.rule))].sort(), ALL_RULES)
  })

  it('find no fault in an honest boot of several banks', () => {
    const banks = ['sha1', 'sha256', 'sha384'] as const
    assert.deepEqual(faults(appraise(GOOD, { banks, log: { banks } })), [])
  })

  const refused: readonly {
    readonly name: string
    readonly events: readonly WrittenEvent[]
    readonly options?: Options
    readonly rule: string
    readonly tier?: string
    /** Other rules that must not speak up; absent where several have reason to. */
    readonly only?: boolean
  }[] = [
    // boot.replay
    { name: 'an event removed', events: without(APPLICATION), options: { extended: GOOD }, rule: 'boot.replay' },
    {
      name: 'an event added',
      events: inserted(APPLICATION, application('x', KERNEL)),
      options: { extended: GOOD },
      rule: 'boot.replay',
    },
    {
      name: 'a digest changed',
      events: replaced(APPLICATION, { measured: KERNEL }),
      options: { extended: GOOD },
      rule: 'boot.replay',
      only: true,
    },
    {
      name: 'an event at the end of a register that was never measured',
      events: inserted(EXIT_AT, event(8, EV.IPL, utf8('kernel_cmdline: a better one\0'), utf8('a better one'))),
      options: { extended: GOOD },
      rule: 'boot.replay',
      only: true,
    },
    // boot.empty-register
    {
      name: 'a register that no event tells of',
      events: GOOD,
      options: { extended: [...GOOD, event(10, EV.IPL, utf8('x'))] },
      rule: 'boot.empty-register',
      only: true,
    },
    {
      name: 'a dynamic launch that no log tells of',
      events: GOOD,
      options: { extended: [...GOOD, event(17, EV.IPL, utf8('x'))] },
      rule: 'boot.empty-register',
      only: true,
    },
    // boot.selection
    {
      name: 'a quote without PCR 7',
      events: GOOD,
      options: { pcrs: [0, 1, 2, 3, 4, 5, 6] },
      rule: 'boot.selection',
      tier: 'none',
    },
    // boot.bank-strength
    {
      name: 'a SHA-1 bank alone',
      events: GOOD,
      options: { banks: ['sha1'], log: { banks: ['sha1', 'sha256'] } },
      rule: 'boot.bank-strength',
      only: true,
    },
    // boot.bank-unused
    {
      name: 'a bank that firmware left open',
      events: GOOD,
      options: { banks: ['sha256'], log: { banks: ['sha256'] } },
      rule: 'boot.bank-unused',
      tier: 'affirming',
    },
    // boot.startup-locality
    {
      name: 'a locality that the TPM did not start at',
      events: [localityEvent(3), ...GOOD],
      options: { extended: GOOD },
      rule: 'boot.startup-locality',
    },
    {
      name: 'two localities',
      events: [localityEvent(0), localityEvent(3), ...GOOD],
      rule: 'boot.startup-locality',
      only: true,
    },
    {
      name: 'a locality after PCR 0 was extended',
      events: inserted(1, localityEvent(0)),
      rule: 'boot.startup-locality',
      only: true,
    },
    {
      name: 'a locality of another register',
      events: [localityEvent(0, 1), ...GOOD],
      rule: 'boot.startup-locality',
      only: true,
    },
    {
      name: 'a locality that TPM2_Startup cannot come from',
      events: [localityEvent(2), ...GOOD],
      rule: 'boot.startup-locality',
      only: true,
    },
    {
      name: 'a locality of two bytes',
      events: [event(0, EV.NO_ACTION, concatBytes(utf8('StartupLocality\0'), Uint8Array.of(0, 0))), ...GOOD],
      rule: 'boot.startup-locality',
    },
    {
      name: 'H-CRTM that is not the first event of PCR 0',
      events: inserted(1, event(0, EV.EFI_HCRTM_EVENT, utf8('HCRTM'))),
      rule: 'boot.startup-locality',
      only: true,
    },
    {
      name: 'H-CRTM at another locality than 4',
      events: [localityEvent(3), event(0, EV.EFI_HCRTM_EVENT, utf8('HCRTM')), ...GOOD],
      options: { locality: 3 },
      rule: 'boot.startup-locality',
      only: true,
    },
    // boot.no-action
    {
      name: 'a digest in an event that is not extended',
      events: [{ ...localityEvent(0), digests: [[0x0b, new Uint8Array(32).fill(1)]] }, ...GOOD],
      rule: 'boot.no-action',
      only: true,
    },
    // boot.separator
    { name: 'a second separator in PCR 7', events: inserted(SEPARATOR_7 + 1, separator(7)), rule: 'boot.separator' },
    { name: 'an error separator', events: replaced(SEPARATOR_4, { data: u32(1) }), rule: 'boot.separator' },
    {
      name: 'an error separator under another type',
      events: inserted(SEPARATOR_4, { ...separator(4, 1), type: EV.EFI_ACTION }),
      rule: 'boot.separator',
    },
    {
      name: 'a separator of an unknown value',
      events: replaced(SEPARATOR_4, { data: u32(2) }),
      rule: 'boot.separator',
    },
    {
      name: 'a separator whose data is of another one',
      events: replaced(SEPARATOR_4, { measured: u32(1) }),
      rule: 'boot.separator',
    },
    { name: 'a separator under another type', events: retyped(SEPARATOR_4, EV.EFI_ACTION), rule: 'boot.separator' },
    {
      name: "Windows's separator in PCR 4",
      events: inserted(APPLICATION, event(4, EV.SEPARATOR, utf8('WBCL'))),
      rule: 'boot.separator',
    },
    // boot.truncated
    { name: 'a log that ends before the separators', events: GOOD.slice(0, SEPARATOR_4), rule: 'boot.truncated' },
    {
      name: 'a log without one separator',
      events: without(at((e) => e.type === EV.SEPARATOR && e.register === 2)),
      rule: 'boot.truncated',
      only: true,
    },
    // boot.exit-boot-services
    {
      name: 'an event of firmware after ExitBootServices',
      events: [...GOOD, application('late', KERNEL)],
      rule: 'boot.exit-boot-services',
      only: true,
    },
    {
      name: 'a boot loader after ExitBootServices',
      events: [...GOOD, event(8, EV.IPL, utf8('late'))],
      rule: 'boot.exit-boot-services',
      only: true,
    },
    { name: 'a success without a call', events: without(EXIT_AT), rule: 'boot.exit-boot-services', only: true },
    {
      name: 'no end of boot services',
      events: without(EXIT_AT, 2),
      rule: 'boot.exit-boot-services',
      tier: 'warning',
      only: true,
    },
    {
      name: 'an end of boot services that failed',
      events: [...without(EXIT_AT + 1), action(5, 'Exit Boot Services Returned with Failure')],
      rule: 'boot.exit-boot-services',
      tier: 'warning',
      only: true,
    },
    {
      name: 'an end of boot services that did not return',
      events: without(EXIT_AT + 1),
      rule: 'boot.exit-boot-services',
      tier: 'warning',
      only: true,
    },
    {
      name: 'an end of boot services in another register',
      events: [...without(EXIT_AT, 2), ...EXIT.map((e) => ({ ...e, register: 4 }))],
      rule: 'boot.exit-boot-services',
    },
    // boot.efi-action-order
    {
      name: 'an application before the call',
      events: [...without(at((e) => e === CALLING)).slice(0, APPLICATION), CALLING, ...GOOD.slice(APPLICATION + 1)],
      rule: 'boot.efi-action-order',
    },
    {
      name: 'a second call before the first returned',
      events: inserted(APPLICATION, CALLING),
      rule: 'boot.efi-action-order',
      only: true,
    },
    {
      name: 'a return without a call',
      events: inserted(
        at((e) => e === CALLING),
        RETURNING,
      ),
      rule: 'boot.efi-action-order',
      only: true,
    },
    {
      name: 'a boot option that returned',
      events: inserted(APPLICATION + 1, RETURNING, CALLING),
      rule: 'boot.efi-action-order',
      tier: 'warning',
      only: true,
    },
    {
      name: 'an application after a return',
      events: inserted(APPLICATION + 1, RETURNING, application('x', KERNEL)),
      rule: 'boot.efi-action-order',
    },
    // boot.boot-application
    { name: 'no application', events: without(APPLICATION), rule: 'boot.boot-application' },
    // boot.event-type
    {
      name: 'a boot loader retyped as firmware',
      events: retyped(APPLICATION, EV.EFI_PLATFORM_FIRMWARE_BLOB),
      rule: 'boot.event-type',
    },
    { name: 'a variable retyped as unused', events: retyped(SEPARATOR_7 - 1, EV.UNUSED), rule: 'boot.event-type' },
    {
      name: 'a boot loader of a BIOS in a UEFI boot',
      events: retyped(APPLICATION, EV.IPL),
      rule: 'boot.event-type',
      tier: 'warning',
    },
    { name: 'an action under another type', events: retyped(EXIT_AT, EV.EVENT_TAG), rule: 'boot.event-type' },
    {
      name: 'an application in PCR 5',
      events: inserted(APPLICATION, application('x', KERNEL, 5)),
      rule: 'boot.event-type',
    },
    {
      name: 'an authority in PCR 1',
      events: inserted(1, { ...authority(), register: 1 }),
      rule: 'boot.event-type',
      only: true,
    },
    {
      name: 'a type that nobody knows, in PCR 0',
      events: inserted(1, event(0, 0x40e, utf8('x'))),
      rule: 'boot.event-type',
      tier: 'warning',
      only: true,
    },
    // boot.after-separator
    {
      name: 'a firmware blob behind the separator of PCR 0',
      events: inserted(APPLICATION, GOOD[1] as WrittenEvent),
      rule: 'boot.after-separator',
      only: true,
    },
    {
      name: 'a configuration behind the separator of PCR 3',
      events: inserted(APPLICATION, event(3, EV.EVENT_TAG, concatBytes(u32(1), u32(0)))),
      rule: 'boot.after-separator',
      tier: 'warning',
      only: true,
    },
    // boot.variable-digest
    {
      name: 'a variable with other data than was measured',
      events: replaced(SEPARATOR_7 - 1, { measured: utf8('another dbx') }),
      rule: 'boot.variable-digest',
    },
    {
      name: 'an authority with other data than was measured',
      events: replaced(AUTHORITY, { measured: utf8('another') }),
      rule: 'boot.variable-digest',
    },
    // boot.data-digest
    {
      name: 'an action with another text than was measured',
      events: replaced(EXIT_AT, { measured: utf8('something else') }),
      rule: 'boot.data-digest',
    },
    {
      name: 'a GRUB command with another text than was measured',
      events: replaced(APPLICATION + 1, { measured: utf8('something else') }),
      rule: 'boot.data-digest',
      only: true,
    },
    {
      name: 'a CRTM version with another text than was measured',
      events: replaced(0, { measured: utf8('something else') }),
      rule: 'boot.data-digest',
      only: true,
    },
    // boot.event-data
    {
      name: 'a dbx whose entries have no size',
      events: replaced(SEPARATOR_7 - 1, {
        data: variableData(
          SECURITY,
          'dbx',
          concatBytes(guid('c1c41626-504c-4092-aca9-41f936934328'), u32(28), u32(0), u32(0)),
        ),
      }),
      rule: 'boot.event-data',
    },
    {
      name: 'a variable whose lengths are wrong',
      events: replaced(SEPARATOR_7 - 1, { data: new Uint8Array(40).fill(0xff) }),
      rule: 'boot.event-data',
    },
    {
      name: 'an image whose path cannot be read',
      events: replaced(APPLICATION, { data: utf8('x'), measured: LOADER }),
      rule: 'boot.event-data',
      tier: 'warning',
      only: true,
    },
    // boot.pcr7-order
    {
      name: 'SecureBoot measured twice',
      events: inserted(SEPARATOR_7, config(GLOBAL, 'SecureBoot', Uint8Array.of(1))),
      rule: 'boot.pcr7-order',
    },
    {
      name: 'a configuration behind the separator',
      events: inserted(SEPARATOR_7 + 1, config(SECURITY, 'dbt', new Uint8Array(0))),
      rule: 'boot.pcr7-order',
      only: true,
    },
    {
      name: 'an authority before the separator',
      events: inserted(SEPARATOR_7, authority()),
      rule: 'boot.pcr7-order',
      tier: 'warning',
      only: true,
    },
    {
      name: 'db before PK',
      events: [GOOD[0], GOOD[1], GOOD[2], GOOD[5], GOOD[3], GOOD[4], ...GOOD.slice(6)] as WrittenEvent[],
      rule: 'boot.pcr7-order',
      tier: 'warning',
      only: true,
    },
    // boot.debug-mode, boot.dma-protection
    { name: 'UEFI Debug Mode', events: inserted(2, action(7, 'UEFI Debug Mode')), rule: 'boot.debug-mode' },
    {
      name: 'DMA protection that is disabled',
      events: inserted(2, action(7, 'DMA Protection Disabled')),
      rule: 'boot.dma-protection',
      tier: 'warning',
      only: true,
    },
    // boot.secure-boot
    {
      name: 'Secure Boot off',
      events: honestBoot({ secureBoot: false }),
      rule: 'boot.secure-boot',
      tier: 'warning',
      only: true,
    },
    {
      name: 'Secure Boot absent',
      events: replaced(2, { data: variableData(GLOBAL, 'SecureBoot', new Uint8Array(0)) }),
      rule: 'boot.secure-boot',
      tier: 'warning',
      only: true,
    },
    {
      name: 'a SecureBoot of two bytes',
      events: replaced(2, { data: variableData(GLOBAL, 'SecureBoot', Uint8Array.of(1, 1)) }),
      rule: 'boot.secure-boot',
      tier: 'none',
    },
    { name: 'no SecureBoot', events: without(2), rule: 'boot.secure-boot', tier: 'none' },
    {
      name: 'Secure Boot on with an empty PK',
      events: replaced(3, { data: variableData(GLOBAL, 'PK', new Uint8Array(0)) }),
      rule: 'boot.secure-boot',
      only: true,
    },
    { name: 'Secure Boot on without KEK', events: without(4), rule: 'boot.secure-boot', only: true },
    {
      name: 'Secure Boot on with an empty db',
      events: replaced(5, { data: variableData(SECURITY, 'db', new Uint8Array(0)) }),
      rule: 'boot.secure-boot',
      only: true,
    },
    { name: 'Secure Boot on and no authority', events: without(AUTHORITY), rule: 'boot.secure-boot', only: true },
    {
      name: 'Secure Boot on in audit mode',
      events: inserted(SEPARATOR_7, config(GLOBAL, 'AuditMode', Uint8Array.of(1))),
      rule: 'boot.secure-boot',
      only: true,
    },
    { name: 'Secure Boot on and no image measured', events: without(APPLICATION), rule: 'boot.secure-boot' },
    {
      name: 'Secure Boot on in a register that does not replay',
      events: GOOD,
      options: { extended: without(AUTHORITY) },
      rule: 'boot.secure-boot',
      tier: 'none',
    },
  ]

  for (const { name, events, options, rule, tier = 'contraindicated', only } of refused) {
    if (tier === 'affirming') continue
    it(`${rule}: ${name} is ${tier}`, () => {
      const appraisal = appraise(events, options)
      assert.equal(tierOf(appraisal, rule), tier, faults(appraisal).join(', '))
      if (only) assert.deepEqual(faults(appraisal), [`${rule} ${tier}`])
    })
  }
})
