import assert from 'node:assert/strict'
import fc from 'fast-check'
import { fromUtf8, toHex, utf8 } from '../../../../attestation/base/index.ts'
import {
  EventLogError,
  encodeLaunchLogContent,
  type LaunchLogContent,
  launchLogRecord,
  parseLaunchLogContent,
  toCelJson,
} from '../../../../attestation/event-log/index.ts'
import { decodeCel } from '../../../support/cel.ts'
import { LogBuilder } from '../../../support/launch-log.ts'

const HEX = 'ab'.repeat(32)
const UUID = '01234567-89ab-cdef-0123-456789abcdef'
const CONTENTS: { readonly [K in LaunchLogContent['record']]: Extract<LaunchLogContent, { record: K }> } = {
  agent: {
    record: 'agent',
    version: '1',
    programSha256: HEX,
    configSha256: HEX,
    mode: 'audit',
    found: { sha256: HEX },
    verifierKeys: [HEX],
  },
  stage1: {
    record: 'stage1',
    flavour: 'nspawn',
    name: 'n',
    id: 'sha512-1',
    tree: 't',
    verification: 'full-file',
    interfaceVersion: 1,
    hostPrograms: [{ path: '/usr/bin/systemd-nspawn', sha256: HEX }],
  },
  image: {
    record: 'image',
    name: 'n',
    id: 'sha256-1',
    manifest: 'sha256:1',
    tree: 't',
    verification: 'stat-cache',
    signers: [{ kind: 'openpgp', key: 'k', checkedAt: '2026-01-01T00:00:00Z' }],
    policy: { sha256: HEX, scope: 'docker registry.example' },
    relaxed: ['image'],
  },
  pod: { record: 'pod', uuid: UUID, request: HEX, manifest: HEX, stage1: 'sha512-1', images: ['sha256-1'] },
  launch: {
    record: 'launch',
    uuid: UUID,
    request: HEX,
    ticket: 'cd'.repeat(16),
    verifierKey: HEX,
    policy: HEX,
    mode: 'enforce',
  },
  enter: {
    record: 'enter',
    uuid: UUID,
    request: HEX,
    app: 'web',
    program: '/bin/sh',
    argv: `hmac-sha256:${HEX}`,
    by: { uid: 0, gid: 0 },
    mode: 'enforce',
  },
  denied: { record: 'denied', uuid: UUID, request: HEX, code: 'POLICY_DENIED' },
  exited: { record: 'exited', uuid: UUID, statuses: { app: 137 }, reason: 'killed' },
  break: { record: 'break', reason: 'log cut', expected: { sha256: HEX }, found: { sha256: HEX } },
}

describe('launch-log content', () => {
  for (const content of Object.values(CONTENTS)) {
    it(`of a ${content.record} record is what was encoded`, () => {
      assert.deepEqual(parseLaunchLogContent(encodeLaunchLogContent(content)), content)
    })
    it(`of a ${content.record} record is refused when a field is missing, unknown or of another type`, () => {
      const fields = JSON.parse(fromUtf8(encodeLaunchLogContent(content)))
      const optional = new Set(['ticket', 'verifierKey', 'policy', ...(content.record === 'image' ? ['manifest'] : [])])
      for (const field of Object.keys(fields)) {
        const { [field]: _, ...without } = fields
        const changed = encodeJson({ ...fields, [field]: { toString: [] } })
        assert.throws(() => parseLaunchLogContent(changed), EventLogError, `${field} changed`)
        if (!optional.has(field))
          assert.throws(() => parseLaunchLogContent(encodeJson(without)), EventLogError, `${field} left out`)
      }
      assert.throws(() => parseLaunchLogContent(encodeJson({ ...fields, zzz: 1 })), { code: 'EVENT_LOG_BAD_CONTENT' })
    })
  }

  it('is RFC 8785 with the version of the formats in it', () => {
    assert.equal(
      fromUtf8(encodeLaunchLogContent(CONTENTS.denied)),
      `{"code":"POLICY_DENIED","holdfast":1,"record":"denied","request":"${HEX}","uuid":"${UUID}"}`,
    )
  })

  const refused = [
    { name: 'bytes that are not UTF-8', bytes: Uint8Array.of(0x7b, 0xff, 0x7d), code: 'EVENT_LOG_BAD_CONTENT' },
    { name: 'text that is not JSON', bytes: utf8('{"holdfast":1'), code: 'EVENT_LOG_BAD_CONTENT' },
    { name: 'a list', bytes: utf8('[]'), code: 'EVENT_LOG_UNKNOWN_VERSION' },
    { name: 'another version', bytes: utf8('{"holdfast":2,"record":"denied"}'), code: 'EVENT_LOG_UNKNOWN_VERSION' },
    {
      name: 'a record that is not known',
      bytes: utf8('{"holdfast":1,"record":"reboot"}'),
      code: 'EVENT_LOG_BAD_CONTENT',
    },
    {
      name: 'a record named like a member of every object',
      bytes: utf8('{"holdfast":1,"record":"constructor"}'),
      code: 'EVENT_LOG_BAD_CONTENT',
    },
    {
      name: 'white space',
      bytes: utf8(`${fromUtf8(encodeLaunchLogContent(CONTENTS.pod))} `),
      code: 'EVENT_LOG_NOT_CANONICAL',
    },
    {
      name: 'members in another order',
      bytes: utf8(JSON.stringify({ record: 'denied', holdfast: 1, uuid: UUID, request: HEX, code: 'X' })),
      code: 'EVENT_LOG_NOT_CANONICAL',
    },
    {
      name: 'a member twice',
      bytes: utf8(fromUtf8(encodeLaunchLogContent(CONTENTS.denied)).replace('{', '{"code":"X",')),
      code: 'EVENT_LOG_NOT_CANONICAL',
    },
    {
      name: 'an unpaired surrogate',
      bytes: utf8(fromUtf8(encodeLaunchLogContent(CONTENTS.break)).replace('log cut', '\\ud800')),
      code: 'EVENT_LOG_NOT_CANONICAL',
    },
    {
      name: 'deep nesting',
      bytes: utf8(`{"holdfast":1,"record":"pod","uuid":${'['.repeat(60_000)}${']'.repeat(60_000)}}`),
      code: 'EVENT_LOG_BAD_CONTENT',
    },
    { name: 'more than 128 KiB', bytes: new Uint8Array((1 << 17) + 1), code: 'EVENT_LOG_TOO_LONG' },
  ]
  for (const { name, bytes, code } of refused) {
    it(`refuses ${name} with ${code}`, () => assert.throws(() => parseLaunchLogContent(bytes), { code }))
  }

  it('gives a value or an EventLogError for any JSON', () => {
    const value = fc.oneof(
      fc.json(),
      fc.json().map((j) => `{"holdfast":1,"record":"exited","statuses":${j}}`),
    )
    fc.assert(
      fc.property(value, (text) => {
        try {
          parseLaunchLogContent(utf8(text))
        } catch (err) {
          assert.ok(err instanceof EventLogError)
        }
      }),
    )
  })

  it('is hashed as the value alone, in every bank', () => {
    const content = utf8('{}')
    const { digests } = launchLogRecord(3, 15, ['sha1', 'sha256'], content)
    assert.deepEqual(
      digests.map((d) => toHex(d.bytes)),
      ['bf21a9e8fbc5a3846fb05b4fa0859e0917b2202f', '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a'],
    )
  })

  it('is shown in CEL-JSON as the JSON it is', () => {
    const [record] = decodeCel(new LogBuilder().add(CONTENTS.exited).bytes)
    assert.ok(record)
    const json = toCelJson(record) as { content_type: string; content: object }
    assert.equal(json.content_type, 'holdfast')
    assert.deepEqual(json.content, { ...CONTENTS.exited, holdfast: 1 })
  })
})

function encodeJson(value: object): Uint8Array {
  const sorted = Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
  return utf8(JSON.stringify(sorted))
}
