import { toHex } from '../base/index.ts'
import type { EatClaims, EatSubmod, OemId, Ueid, Version } from '../results/index.ts'
import type { Tone } from './paint.ts'
import { plainJson } from './plain-json.ts'
import { isoTime, nonceText, type ResultLine } from './result-lines.ts'

/** Claims that RFC 9711 does not have, and others of which there can be many. */
const MAX_EACH = 64
const MAX_DEPTH = 4

/**
 * What an entity attestation token says. What a relying party looks for first (whose it is, whether it is fresh,
 * whether it can be debugged, whether it booted what its maker wants) has a line also where it is not claimed.
 *
 * @param verified whether the signature was found to be that of a key which somebody trusts
 */
export function eatLines(eat: EatClaims, verified: boolean, section = 'token', depth = 0): ResultLine[] {
  const line = (what: string, text: string | undefined, tone?: Tone): ResultLine[] =>
    text === undefined ? [] : [{ section, what, text, ...(tone !== undefined && { tone }) }]
  const needed = (what: string, text: string | undefined, tone: Tone = verified ? 'good' : 'open'): ResultLine[] =>
    text === undefined ? line(what, 'not claimed', 'open') : line(what, text, tone)
  const { debugStatus, oemBoot } = eat
  return [
    ...line('profile', typeof eat.profile === 'string' ? eat.profile : eat.profile && toHex(eat.profile)),
    ...line('issuer', eat.issuer),
    ...line('subject', eat.subject),
    ...line('audience', eat.audience.join(', ') || undefined),
    ...line('issued', eat.issuedAt === undefined ? undefined : isoTime(eat.issuedAt)),
    ...line('not before', eat.notBefore === undefined ? undefined : isoTime(eat.notBefore)),
    ...line('expires', eat.expiresAt === undefined ? undefined : isoTime(eat.expiresAt)),
    ...(depth === 0 ? line('nonce', nonceText(eat.nonces), eat.nonces.length === 0 ? 'open' : undefined) : []),
    ...needed('entity', eat.ueid && ueidText(eat.ueid), 'faint'),
    ...[...eat.sueids].flatMap(([label, ueid]) => line(`entity ${label}`, ueidText(ueid))),
    ...line('maker', eat.oemId && oemText(eat.oemId)),
    ...line('hardware', eat.hwModel && `model ${toHex(eat.hwModel)}`),
    ...line('hardware version', eat.hwVersion && versionText(eat.hwVersion)),
    ...line('software', eat.swName),
    ...line('software version', eat.swVersion && versionText(eat.swVersion)),
    ...needed(
      "maker's boot",
      oemBoot === undefined ? undefined : String(oemBoot),
      oemBoot === false ? 'bad' : undefined,
    ),
    ...needed('debugging', debugStatus, debugStatus === 'enabled' ? 'bad' : undefined),
    ...line('boots', eat.bootCount === undefined ? undefined : `${eat.bootCount} in its life`),
    ...line('boot seed', eat.bootSeed && toHex(eat.bootSeed)),
    ...line('up for', eat.uptimeS === undefined ? undefined : `${eat.uptimeS} s`),
    ...line('for', eat.intendedUse === undefined ? undefined : String(eat.intendedUse)),
    ...line('place', eat.location && `${eat.location.latitude}, ${eat.location.longitude}`),
    ...eat.dloas.flatMap((d) => line('approval', [d.registrar, d.platform, d.application].filter(Boolean).join(', '))),
    ...[...eat.manifests, ...eat.measurements].flatMap(({ contentType, body }) =>
      line('embedded', `${body.length} bytes of content format ${contentType}, not read`),
    ),
    ...eat.measurementResults.flatMap(({ system, results }) =>
      results
        .slice(0, MAX_EACH)
        .flatMap(({ id, result }) =>
          line(
            'measured',
            `${system}: ${typeof id === 'string' ? id : toHex(id)} ${result}`,
            resultTone(result, verified),
          ),
        ),
    ),
    ...[...eat.others]
      .slice(0, MAX_EACH)
      .flatMap(([name, value]) => line(`claim ${name}`, JSON.stringify(plainJson(value)).slice(0, 400))),
    ...[...eat.submods].flatMap(([label, submod]) => submodLines(label, submod, verified, section, depth)),
  ]
}

function submodLines(
  label: string,
  submod: EatSubmod,
  verified: boolean,
  section: string,
  depth: number,
): ResultLine[] {
  const what = `submodule ${label}`
  switch (submod.kind) {
    case 'claims':
      return depth + 1 === MAX_DEPTH
        ? [{ section, what, text: 'claims within claims, not shown' }]
        : eatLines(submod.claims, verified, `${section} / ${label}`, depth + 1)
    case 'token':
      return [{ section, what, text: `a token of its own (${submod.type}), which nobody verified`, tone: 'open' }]
    case 'bundle':
      return [{ section, what, text: 'a detached bundle, which nobody verified', tone: 'open' }]
    case 'digest':
      return [{ section, what, text: `claims elsewhere, ${submod.algorithm} ${toHex(submod.digest)}` }]
  }
}

function resultTone(result: string, verified: boolean): Tone {
  if (result === 'success') return verified ? 'good' : 'open'
  return result === 'fail' ? 'bad' : 'open'
}

function ueidText({ kind, bytes }: Ueid): string {
  return `${toHex(bytes)} (${kind})`
}

function oemText(oem: OemId): string {
  return oem.kind === 'pen' ? `private enterprise number ${oem.number}` : `${toHex(oem.bytes)} (${oem.kind})`
}

function versionText({ version, scheme }: Version): string {
  return scheme === undefined ? version : `${version} (scheme ${scheme})`
}
