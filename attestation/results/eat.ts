import type { Value } from '../encoding/index.ts'
import type { Nonce } from './claims.ts'

/** Universal entity ID by its type byte. Source: RFC 9711 §4.2.1. */
export interface Ueid {
  readonly kind: 'random' | 'eui' | 'imei'
  /** With the type byte in front. */
  readonly bytes: Uint8Array
}

/** Manufacturer: a private enterprise number, an IEEE MA-L, or 16 random bytes. Source: RFC 9711 §4.2.3. */
export type OemId =
  | { readonly kind: 'pen'; readonly number: number }
  | { readonly kind: 'ieee'; readonly bytes: Uint8Array }
  | { readonly kind: 'random'; readonly bytes: Uint8Array }

/** In the order of their numbers 0 to 4. */
export const DEBUG_STATUS = [
  'enabled',
  'disabled',
  'disabled-since-boot',
  'disabled-permanently',
  'disabled-fully-and-permanently',
] as const
export type DebugStatus = (typeof DEBUG_STATUS)[number]

/** In the order of their numbers 1 to 4. */
export const MEASUREMENT_RESULTS = ['success', 'fail', 'not-run', 'absent'] as const
export type MeasurementResult = (typeof MEASUREMENT_RESULTS)[number]

export interface Version {
  readonly version: string
  /** Of the CoSWID registry, or a text. */
  readonly scheme?: number | string
}

/** A manifest or measurements in a format of their own. */
export interface EmbeddedFormat {
  /** CoAP content format. */
  readonly contentType: number
  readonly body: Uint8Array
}

export interface MeasurementResults {
  readonly system: string
  readonly results: readonly { readonly id: string | Uint8Array; readonly result: MeasurementResult }[]
}

export interface Location {
  readonly latitude: number
  readonly longitude: number
  readonly altitude?: number
  readonly accuracy?: number
  readonly altitudeAccuracy?: number
  readonly heading?: number
  readonly speed?: number
  readonly timestamp?: number
  readonly age?: number
}

/**
 * A submodule: its claims, a token or bundle of its own that nobody verified here, or the digest of claims that travel
 * apart.
 */
export type EatSubmod =
  | { readonly kind: 'claims'; readonly claims: EatClaims }
  | { readonly kind: 'token'; readonly type: 'JWT' | 'CBOR'; readonly token: string | Uint8Array }
  | { readonly kind: 'bundle'; readonly bundle: readonly Value[] }
  | { readonly kind: 'digest'; readonly algorithm: string | number; readonly digest: Uint8Array }

/** Claims of an entity attestation token. None is verified by being read. Source: RFC 9711 §4. */
export interface EatClaims {
  readonly nonces: readonly Nonce[]
  readonly ueid?: Ueid
  readonly sueids: ReadonlyMap<string, Ueid>
  readonly oemId?: OemId
  readonly hwModel?: Uint8Array
  readonly hwVersion?: Version
  readonly uptimeS?: number
  readonly oemBoot?: boolean
  readonly debugStatus?: DebugStatus
  readonly location?: Location
  /** A URI, an OID as dotted text (JSON) or as BER content (CBOR). */
  readonly profile?: string | Uint8Array
  readonly submods: ReadonlyMap<string, EatSubmod>
  readonly bootCount?: number
  readonly bootSeed?: Uint8Array
  readonly dloas: readonly { readonly registrar: string; readonly platform: string; readonly application?: string }[]
  readonly swName?: string
  readonly swVersion?: Version
  readonly manifests: readonly EmbeddedFormat[]
  readonly measurements: readonly EmbeddedFormat[]
  readonly measurementResults: readonly MeasurementResults[]
  readonly intendedUse?: string | number
  readonly issuer?: string
  readonly subject?: string
  readonly audience: readonly string[]
  /** Seconds since 1970. */
  readonly expiresAt?: number
  readonly notBefore?: number
  readonly issuedAt?: number
  /** Claims that RFC 9711 does not have, as they were. */
  readonly others: ReadonlyMap<string | number, Value>
}
