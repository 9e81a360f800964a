import { EK_TEMPLATES } from '../../attestation/tpm2/index.ts'
import {
  type CallMode,
  createPrimary,
  ESYS_TR_RH_ENDORSEMENT,
  type FfiName,
  loadFfi,
  TpmConnection,
  TssLibraries,
} from '../../native/tss/index.ts'

/** A connection whose session is salted by a P-256 EK made from its template. The caller closes it. */
export function openConnection(
  tcti: string,
  options: { readonly ffi?: FfiName; readonly mode?: CallMode } = {},
): Promise<TpmConnection> {
  const template = EK_TEMPLATES.find((t) => t.id === 'L-2')
  if (template === undefined) return Promise.reject(new Error('no EK template L-2'))
  return TpmConnection.open({
    tcti,
    mode: options.mode ?? 'sync',
    libraries: new TssLibraries(loadFfi(options.ffi)),
    saltKey: (c) => createPrimary(c, ESYS_TR_RH_ENDORSEMENT, template.public),
  })
}
