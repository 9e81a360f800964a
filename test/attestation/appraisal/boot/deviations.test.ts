import assert from 'node:assert/strict'
import type { BootAppraisal } from '../../../../attestation/appraisal/boot/index.ts'
import { utf8 } from '../../../../attestation/base/index.ts'
import { EV } from '../../../../attestation/event-log/index.ts'
import {
  action,
  application,
  authority,
  CALLING,
  CERTIFICATE,
  config,
  EXIT,
  event,
  KERNEL,
  localityEvent,
  OWNER,
  SHIM,
} from '../../../support/boot.ts'
import {
  APPLICATION,
  AUTHORITY,
  appraise,
  EXIT_AT,
  faults,
  GOOD,
  inserted,
  type Options,
  replaced,
  without,
} from '../../../support/boot-appraisal.ts'
import { signatureList, u32, type WrittenEvent } from '../../../support/firmware-log.ts'

describe('deviations of honest firmware', () => {
  const honest: readonly {
    readonly name: string
    readonly events: readonly WrittenEvent[]
    readonly options?: Options
    readonly faults?: readonly string[]
  }[] = [
    { name: 'a start at locality 3 that the log does not tell', events: GOOD, options: { locality: 3 } },
    { name: 'a start at locality 3 that it tells', events: [localityEvent(3), ...GOOD], options: { locality: 3 } },
    {
      name: 'H-CRTM, which starts PCR 0 at locality 4',
      events: [event(0, EV.EFI_HCRTM_EVENT, utf8('HCRTM')), ...GOOD],
      options: { locality: 4 },
    },
    {
      name: 'a final events table that the kernel did not copy',
      events: without(EXIT_AT, 2),
      options: { extended: GOOD },
    },
    {
      name: 'no call of a boot option, and boot variables behind the separator (AMI)',
      events: [
        ...GOOD.filter((e) => e !== CALLING && e.type !== EV.EFI_VARIABLE_BOOT).slice(0, -2),
        ...GOOD.filter((e) => e.type === EV.EFI_VARIABLE_BOOT),
        ...EXIT,
      ],
    },
    {
      name: 'boot variables and the call in PCR 5 (Lenovo)',
      events: GOOD.map((e) => (e === CALLING || e.type === EV.EFI_VARIABLE_BOOT ? { ...e, register: 5 } : e)),
    },
    {
      name: 'an application of the firmware before the call (Dell, QEMU)',
      events: inserted(2, application('fv', KERNEL)),
    },
    {
      name: 'MokList of shim in PCR 7 (shim of 2015)',
      events: inserted(
        APPLICATION,
        config(
          SHIM,
          'MokList',
          signatureList('a5c059a1-94e4-4aa7-87b5-ab155c2bf072', [{ owner: OWNER, data: CERTIFICATE }]),
        ),
      ),
    },
    { name: 'an entry of db named twice', events: inserted(APPLICATION, authority()) },
    {
      name: 'an authority whose digest leaves out the last byte (shim)',
      events: replaced(AUTHORITY, { measured: (GOOD[AUTHORITY] as WrittenEvent).data.subarray(0, -1) }),
    },
    {
      name: 'fill behind the last event (ACPI, Azure)',
      events: GOOD,
      options: { log: { padding: new Uint8Array(4096).fill(0xff) } },
    },
    {
      name: "Windows's own separators",
      events: [
        ...GOOD.slice(0, EXIT_AT),
        ...[12, 13, 14].map((pcr) => event(pcr, EV.SEPARATOR, utf8('WBCL'))),
        ...EXIT,
      ],
    },
    {
      name: 'a last event of Windows, of no register',
      events: [
        ...GOOD,
        { ...event(0xffffffff, EV.NO_ACTION, utf8('x')), digests: [[0x0b, new Uint8Array(32).fill(1)]] },
      ],
    },
    {
      name: 'an ExitBootServices that failed first (EDK II)',
      events: [...GOOD.slice(0, EXIT_AT), action(5, 'Exit Boot Services Returned with Failure'), ...EXIT],
    },
    {
      name: 'four zero bytes as a part of the firmware (Intel Boot Guard, EMPTY-CRTM-PART)',
      events: inserted(1, event(0, EV.S_CRTM_CONTENTS, utf8('FIT Type 0x2D Measured S-CRTM\0'), u32(0))),
      faults: ['boot.separator warning'],
    },
    {
      name: 'a type of the maker in PCR 0 (Intel)',
      events: inserted(1, event(0, 0x40e, new Uint8Array(0), utf8('x'))),
      faults: ['boot.event-type warning'],
    },
  ]
  for (const { name, events, options, faults: expected = [] } of honest) {
    it(`${expected.length === 0 ? 'are no fault' : `are ${expected.join(', ')}`}: ${name}`, () => {
      assert.deepEqual(faults(appraise(events, options)), expected)
    })
  }

  it('say what had to be assumed', () => {
    const said = (appraisal: BootAppraisal, rule: string) =>
      appraisal.findings.find((f) => f.rule === rule)?.message ?? ''
    assert.match(said(appraise(GOOD, { locality: 3 }), 'boot.startup-locality'), /replays from locality 3/)
    const exit = appraise(without(EXIT_AT, 2), { extended: GOOD })
    assert.match(said(exit, 'boot.replay'), /PCR 5 with the two events of ExitBootServices, which the log lacks/)
    assert.equal(exit.facts?.exitBootServices, 'assumed')
  })
})
