import type { HashAlgorithm } from '../crypto/index.ts'

/** An identifier by its CBOR tag; untagged text and integers are 'text' and 'integer'. */
export interface CorimId {
  readonly kind: 'text' | 'integer' | 'uuid' | 'oid' | 'uri' | 'ueid' | 'bytes'
  /** UUID as 8-4-4-4-12 hexadecimal digits; OID, UEID and bytes in hexadecimal. */
  readonly value: string
}

/** What is measured: at least one of its parts is there. Source: draft-ietf-rats-corim-08 §5.1.4.1. */
export interface CorimEnvironment {
  readonly class?: {
    readonly id?: CorimId
    readonly vendor?: string
    readonly model?: string
    readonly layer?: number
    readonly index?: number
  }
  readonly instance?: CorimId
  readonly group?: CorimId
}

/** A digest by the number of IANA's Named Information Hash Algorithm Registry, or its name. */
export interface CorimDigest {
  readonly algorithm: number | string
  /** Absent for an algorithm that is not known here: nothing can be compared with it. */
  readonly bank?: HashAlgorithm
  readonly bytes: Uint8Array
}

/** Digests of one measured thing: any of them will do, one of each algorithm. */
export interface CorimMeasurement {
  /** Name of the measurement; its absence means the environment as a whole. */
  readonly key?: CorimId
  readonly digests: readonly CorimDigest[]
  /** Integrity registers (PCRs) by index or name. */
  readonly registers: ReadonlyMap<number | string, readonly CorimDigest[]>
  readonly version?: string
  readonly name?: string
  /** Security version: exactly, or at least. */
  readonly svn?: { readonly kind: 'exact' | 'minimum'; readonly value: number }
  readonly rawValue?: Uint8Array
  readonly serialNumber?: string
  /** Keys of further conditions that are there and not read; whoever compares must not pass over them. */
  readonly otherConditions: readonly (number | string)[]
}

/** What one environment's measurements should be. */
export interface ReferenceValue {
  readonly environment: CorimEnvironment
  readonly measurement: CorimMeasurement
}

/** Public keys of an environment, as the manifest has them: PEM, base64 or DER, never parsed here. */
export interface CorimKeys {
  readonly environment: CorimEnvironment
  readonly keys: readonly (string | Uint8Array)[]
}

/** Of one CoMID. */
export interface Comid {
  readonly id: CorimId
  readonly version: number
  readonly referenceValues: readonly ReferenceValue[]
  readonly endorsedValues: readonly ReferenceValue[]
  readonly identityKeys: readonly CorimKeys[]
  readonly attestationKeys: readonly CorimKeys[]
  /** Kinds of triples that are there and not read, by their keys. */
  readonly otherTriples: readonly (number | string)[]
}

/** A concise reference integrity manifest. Source: draft-ietf-rats-corim-08 §4.1. */
export interface Corim {
  readonly id: CorimId
  readonly profiles: readonly CorimId[]
  /** Seconds since 1970. */
  readonly validity?: { readonly notBefore?: number; readonly notAfter: number }
  readonly comids: readonly Comid[]
  /** Tags of other kinds that are in it and not read: 505 CoSWID, 508 CoTL. */
  readonly otherTags: readonly number[]
}

/**
 * A manifest, and what is known of its origin: a COSE_Sign1's signature is not checked here. Either way nobody may take
 * its values for a maker's word.
 */
export interface CorimDocument {
  readonly signature: 'none' | 'not checked'
  readonly corim: Corim
}
