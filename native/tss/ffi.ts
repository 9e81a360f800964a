import { createRequire } from 'node:module'
import { endianness } from 'node:os'
import { messageOf } from '../../attestation/base/index.ts'
import type { FfiAdapter, FfiName } from './ffi-adapter.ts'
import { FfiNapiAdapter } from './ffi-napi.ts'
import { KoffiAdapter } from './koffi.ts'
import { TssError } from './tss-error.ts'

/**
 * Loads the foreign function interface: ffi-napi, or koffi where ffi-napi was not built or does not load.
 *
 * @param wanted forces one of the two; HOLDFAST_FFI is what the processes of Holdfast pass here
 * @throws TssError TSS_FFI_UNAVAILABLE naming what failed and why
 */
export function loadFfi(wanted: string | undefined = process.env['HOLDFAST_FFI']): FfiAdapter {
  if (endianness() !== 'LE') throw new TssError('TSS_FFI_UNAVAILABLE', 'only little-endian machines are supported')
  const require = createRequire(import.meta.url)
  const makers: Readonly<Record<FfiName, () => FfiAdapter>> = {
    'ffi-napi': () => new FfiNapiAdapter(require),
    koffi: () => new KoffiAdapter(require),
  }
  if (wanted !== undefined && wanted !== '') {
    if (wanted !== 'ffi-napi' && wanted !== 'koffi') {
      throw new TssError('TSS_FFI_UNAVAILABLE', `HOLDFAST_FFI is '${wanted}', wanted 'ffi-napi' or 'koffi'`)
    }
    try {
      return makers[wanted]()
    } catch (cause) {
      throw new TssError('TSS_FFI_UNAVAILABLE', `${wanted} cannot be loaded: ${firstLine(cause)}`, { cause })
    }
  }
  try {
    return makers['ffi-napi']()
  } catch (first) {
    try {
      return makers.koffi()
    } catch (second) {
      throw new TssError(
        'TSS_FFI_UNAVAILABLE',
        `neither ffi-napi (${firstLine(first)}) nor koffi (${firstLine(second)}) can be loaded; run npm ci with a C++ compiler installed`,
        { cause: first },
      )
    }
  }
}

function firstLine(err: unknown): string {
  return messageOf(err).split('\n', 1)[0] ?? ''
}
