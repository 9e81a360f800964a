import { type Static, Type } from '@sinclair/typebox'

/** A ticket lives at most this long: it is meant for the launch that asked for it and no other. */
export const MAX_TICKET_LIFETIME_S = 60
export const TICKET_TYPE = 'holdfast-ticket+jwt'

const closed = { additionalProperties: false }
const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' })
const U32 = Type.Integer({ minimum: 0, maximum: 0xffffffff })
const RegisterValue = Type.String({ pattern: '^([0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$' })
const Swap = Type.Object({ before: RegisterValue, after: RegisterValue }, closed)

/**
 * Claims of the launch ticket. `register` makes it a compare-and-swap: it is good only while the register of every bank
 * holds `before`, and the launch record that names `jti` takes it to `after`. Any other event landing first kills it.
 */
export const TicketClaimsSchema = Type.Object(
  {
    /** Verifier id: SHA-256 of the SPKI of the ticket key. */
    iss: Sha256,
    /** Node ID. */
    sub: Sha256,
    /** Random id of 16 bytes, which the launch record holds. */
    jti: Type.String({ pattern: '^[0-9a-f]{32}$' }),
    iat: Type.Integer({ minimum: 0 }),
    nbf: Type.Integer({ minimum: 0 }),
    exp: Type.Integer({ minimum: 0 }),
    cnf: Type.Object({ akName: Type.String({ pattern: '^000[bcd][0-9a-f]{64,128}$' }) }, closed),
    pod: Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' }),
    /** SHA-256 of the launch request's bytes. */
    request: Sha256,
    resetCount: U32,
    restartCount: U32,
    register: Type.Object(
      {
        pcr: Type.Integer({ minimum: 0, maximum: 23 }),
        banks: Type.Object(
          {
            sha1: Type.Optional(Swap),
            sha256: Type.Optional(Swap),
            sha384: Type.Optional(Swap),
            sha512: Type.Optional(Swap),
          },
          closed,
        ),
      },
      closed,
    ),
    /** Revision (SHA-256) of the launch policy set that allowed it, and the ids of the policies that did. */
    policy: Type.Object(
      { revision: Sha256, allowedBy: Type.Array(Type.String({ maxLength: 256 }), { maxItems: 64 }) },
      closed,
    ),
    v: Type.Literal(1),
  },
  closed,
)
export type TicketClaims = Static<typeof TicketClaimsSchema>
