import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { CompactSign, SignJWT, UnsecuredJWT } from 'jose'
import { toHex, utf8 } from '../../../attestation/base/index.ts'
import {
  type BankRegisters,
  encodeLaunchLogContent,
  extendWithContent,
  zeroRegisters,
} from '../../../attestation/event-log/index.ts'
import {
  checkTicket,
  checkTicketForPod,
  type ExpectedLaunch,
  parseTicketClaims,
  registerSwap,
  signTicket,
  TICKET_TYPE,
  type TicketClaims,
  TicketError,
  type TicketSubject,
  ticketClaims,
  ticketedLaunchRecord,
  verifyTicket,
} from '../../../attestation/protocol/index.ts'

const p256 = () => generateKeyPairSync('ec', { namedCurve: 'P-256' })
const KEY = p256()
const OTHER = p256()
const ISS = 'ab'.repeat(32)
const NOW = new Date('2026-03-01T12:00:00Z')
const registers: BankRegisters = zeroRegisters(['sha1', 'sha256'])
const named = {
  iss: ISS,
  jti: '0f'.repeat(16),
  pod: '01234567-89ab-cdef-0123-456789abcdef',
  request: 'cd'.repeat(32),
  policy: { revision: 'ef'.repeat(32), allowedBy: ['p1'] },
}
const subject: TicketSubject = {
  ...named,
  sub: '12'.repeat(32),
  cnf: { akName: `000b${'34'.repeat(32)}` },
  resetCount: 4,
  restartCount: 2,
  register: { pcr: 15, banks: registerSwap(registers, ticketedLaunchRecord(named, 'enforce')) },
}
const claims = ticketClaims(subject, NOW, 60)
const keys = new Map([[ISS, KEY.publicKey]])
const at = (s: number) => new Date(NOW.getTime() + 1000 * s)
/** A ticket with another header or payload, signed all the same. */
const signed = (payload: unknown, header: object = {}, key = KEY.privateKey) =>
  new CompactSign(utf8(typeof payload === 'string' ? payload : JSON.stringify(payload)))
    .setProtectedHeader({ alg: 'ES256', typ: TICKET_TYPE, kid: ISS, ...header })
    .sign(key)

describe('a signed ticket', () => {
  it('is verified with its claims', async () => {
    assert.deepEqual(await verifyTicket(await signTicket(claims, KEY.privateKey), keys, NOW, 0), claims)
  })

  it('is good with a WebCrypto key as well', async () => {
    const pair = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify'])
    const jwt = await signTicket(claims, pair.privateKey)
    assert.deepEqual(await verifyTicket(jwt, new Map([[ISS, pair.publicKey]]), NOW, 0), claims)
  })

  const refused: [string, () => Promise<string> | string, TicketError['code']][] = [
    ['signed by a key that is not trusted', () => signed(claims, { kid: 'cd'.repeat(32) }), 'TICKET_UNKNOWN_KEY'],
    [
      'signed by another key in the name of a trusted one',
      () => signed(claims, {}, OTHER.privateKey),
      'TICKET_SIGNATURE',
    ],
    [
      'issued in the name of another than its signer',
      () => signed({ ...claims, iss: 'cd'.repeat(32) }),
      'TICKET_MALFORMED',
    ],
    ['without a signature', () => new UnsecuredJWT({ ...claims }).encode(), 'TICKET_MALFORMED'],
    [
      'with HMAC under the public key',
      () =>
        new SignJWT({ ...claims })
          .setProtectedHeader({ alg: 'HS256', typ: TICKET_TYPE, kid: ISS })
          .sign(KEY.publicKey.export({ format: 'der', type: 'spki' })),
      'TICKET_MALFORMED',
    ],
    ['of type JWT', () => signed(claims, { typ: 'JWT' }), 'TICKET_MALFORMED'],
    ['without the name of its key', () => signed(claims, { kid: undefined }), 'TICKET_MALFORMED'],
    [
      'with a critical header that is not known',
      async () =>
        `${header({ alg: 'ES256', typ: TICKET_TYPE, kid: ISS, crit: ['x'], x: 1 })}.${(await signed(claims)).split('.').slice(1).join('.')}`,
      'TICKET_MALFORMED',
    ],
    ['whose payload is not JSON', () => signed('x'), 'TICKET_MALFORMED'],
    ['whose payload is null', () => signed('null'), 'TICKET_MALFORMED'],
    ['that is empty', () => '', 'TICKET_MALFORMED'],
    ['of 20,000 characters', () => 'a'.repeat(20_000), 'TICKET_MALFORMED'],
    ['that lives 61 s', () => signed({ ...claims, exp: claims.iat + 61 }), 'TICKET_TOO_LONG'],
    ['that lives less than a second', () => signed({ ...claims, exp: claims.iat }), 'TICKET_TOO_LONG'],
    ['issued in the future', () => signed({ ...claims, iat: claims.iat + 6, exp: claims.exp }), 'TICKET_NOT_YET_VALID'],
    ['valid from the future', () => signed({ ...claims, nbf: claims.nbf + 6 }), 'TICKET_NOT_YET_VALID'],
  ]
  for (const [name, make, code] of refused) {
    it(`${name} is refused with ${code}`, async () => {
      await assert.rejects(verifyTicket(await make(), keys, NOW, 5), { code, name: 'TicketError' })
    })
  }

  it('is refused with any character of it changed', async () => {
    const jwt = await signTicket(claims, KEY.privateKey)
    for (let i = 0; i < jwt.length - 1; i += 7) {
      const changed = `${jwt.slice(0, i)}${jwt[i] === 'A' ? 'B' : 'A'}${jwt.slice(i + 1)}`
      await assert.rejects(verifyTicket(changed, keys, NOW, 0), TicketError)
    }
  })

  it('expires, and is not valid before its time; the tolerance moves both', async () => {
    const jwt = await signTicket(claims, KEY.privateKey)
    await verifyTicket(jwt, keys, at(59), 0)
    await assert.rejects(verifyTicket(jwt, keys, at(60), 0), { code: 'TICKET_EXPIRED' })
    await verifyTicket(jwt, keys, at(64), 5)
    await assert.rejects(verifyTicket(jwt, keys, at(65), 5), { code: 'TICKET_EXPIRED' })
    await assert.rejects(verifyTicket(jwt, keys, at(-1), 0), { code: 'TICKET_NOT_YET_VALID' })
    await verifyTicket(jwt, keys, at(-5), 5)
    await assert.rejects(verifyTicket(jwt, keys, new Date(Number.NaN), 5), { code: 'TICKET_NOT_YET_VALID' })
  })

  it('is a value or a TicketError for any text', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string(),
          fc.tuple(fc.base64String(), fc.base64String(), fc.base64String()).map((t) => t.join('.')),
        ),
        async (jwt) => {
          await assert.rejects(verifyTicket(jwt, keys, NOW, 0), TicketError)
        },
      ),
    )
  })
})

describe('ticket claims', () => {
  it('are not made to live longer than 60 s', () => {
    for (const lifetime of [0, 61, 1.5, -1]) assert.throws(() => ticketClaims(subject, NOW, lifetime), RangeError)
  })

  it('are refused with any field missing, of another type, or one too many', () => {
    for (const field of Object.keys(claims)) {
      const { [field]: _, ...without } = { ...claims } as Record<string, unknown>
      assert.throws(() => parseTicketClaims(without), { code: 'TICKET_MALFORMED' }, field)
      for (const bad of [null, [], 'x', -1, {}, 0.5]) {
        assert.throws(() => parseTicketClaims({ ...claims, [field]: bad }), { code: 'TICKET_MALFORMED' }, field)
      }
    }
    assert.throws(() => parseTicketClaims({ ...claims, zzz: 1 }), { code: 'TICKET_MALFORMED' })
  })

  const swap = { before: '00'.repeat(20), after: '00'.repeat(20) }
  const nested: [string, object][] = [
    ['a bank that is not known', { register: { pcr: 15, banks: { md5: swap } } }],
    ['a bank named like a member of every object', { register: { pcr: 15, banks: { constructor: swap } } }],
    ['a value of another bank', { register: { pcr: 15, banks: { sha256: swap } } }],
    ['no bank', { register: { pcr: 15, banks: {} } }],
    ['a swap without after', { register: { pcr: 15, banks: { sha1: { before: swap.before } } } }],
    ['PCR 24', { register: { pcr: 24, banks: { sha1: swap } } }],
    ['an AK name of another length than its algorithm', { cnf: { akName: `000c${'34'.repeat(32)}` } }],
    ['more than 64 policies', { policy: { revision: 'ef'.repeat(32), allowedBy: new Array(65).fill('p') } }],
    ['a policy that is no text', { policy: { revision: 'ef'.repeat(32), allowedBy: [1] } }],
  ]
  for (const [name, over] of nested) {
    it(`are refused with ${name}`, () =>
      assert.throws(() => parseTicketClaims({ ...claims, ...over }), { code: 'TICKET_MALFORMED' }))
  }
})

describe('a ticket held against the launch', () => {
  const expected: ExpectedLaunch = {
    nodeId: claims.sub,
    podUuid: claims.pod,
    requestSha256: claims.request,
    akName: claims.cnf.akName,
    resetCount: 4,
    restartCount: 2,
    pcr: 15,
    registers,
    mode: 'enforce',
  }

  it('gives the launch record that takes every bank to `after`', () => {
    const record = checkTicket(claims, expected)
    const after = extendWithContent(registers, encodeLaunchLogContent(record))
    assert.equal(toHex(after.sha256 ?? new Uint8Array()), claims.register.banks.sha256?.after)
    assert.equal(record.ticket, claims.jti)
    checkTicketForPod(claims, expected)
  })

  const moved = extendWithContent(registers, utf8('another event'))
  const refused: [string, Partial<ExpectedLaunch>, TicketError['code']][] = [
    ['for another node', { nodeId: '99'.repeat(32) }, 'TICKET_WRONG_NODE'],
    ['for another pod', { podUuid: '11234567-89ab-cdef-0123-456789abcdef' }, 'TICKET_WRONG_POD'],
    ['for another request', { requestSha256: '99'.repeat(32) }, 'TICKET_WRONG_REQUEST'],
    ['for another AK', { akName: `000b${'99'.repeat(32)}` }, 'TICKET_WRONG_AK'],
    ['after a TPM reset', { resetCount: 5, restartCount: 0 }, 'TICKET_TPM_RESTARTED'],
    ['after a TPM restart', { restartCount: 3 }, 'TICKET_TPM_RESTARTED'],
    ['for another PCR', { pcr: 14 }, 'TICKET_WRONG_PCR'],
    ['that leaves out a bank', { registers: zeroRegisters(['sha1', 'sha256', 'sha384']) }, 'TICKET_WRONG_BANKS'],
    ['of a bank that is not allocated', { registers: zeroRegisters(['sha256']) }, 'TICKET_WRONG_BANKS'],
    ['after another event', { registers: moved }, 'TICKET_REGISTER_MOVED'],
    [
      'after another event in one bank only',
      { registers: { ...registers, sha1: moved.sha1 as Uint8Array } },
      'TICKET_REGISTER_MOVED',
    ],
    ['for another mode', { mode: 'audit' }, 'TICKET_WRONG_AFTER'],
  ]
  for (const [name, over, code] of refused) {
    it(`${name} is refused with ${code}`, () =>
      assert.throws(() => checkTicket(claims, { ...expected, ...over }), { code }))
  }

  it('whose `after` is not that of its own launch record is refused', () => {
    const other: TicketClaims = { ...claims, jti: '99'.repeat(16) }
    assert.throws(() => checkTicket(other, expected), { code: 'TICKET_WRONG_AFTER' })
  })

  it('is refused by stage0 for another node, pod or request', () => {
    const { nodeId, podUuid, requestSha256 } = expected
    const pod = { nodeId, podUuid, requestSha256 }
    assert.throws(() => checkTicketForPod(claims, { ...pod, nodeId: '' }), { code: 'TICKET_WRONG_NODE' })
    assert.throws(() => checkTicketForPod(claims, { ...pod, podUuid: '' }), { code: 'TICKET_WRONG_POD' })
    assert.throws(() => checkTicketForPod(claims, { ...pod, requestSha256: '' }), { code: 'TICKET_WRONG_REQUEST' })
  })

  it('is dead once used: the register it starts from is gone', () => {
    const record = checkTicket(claims, expected)
    const after = extendWithContent(registers, encodeLaunchLogContent(record))
    assert.throws(() => checkTicket(claims, { ...expected, registers: after }), { code: 'TICKET_REGISTER_MOVED' })
  })
})

function header(fields: object): string {
  return Buffer.from(JSON.stringify(fields)).toString('base64url')
}
