import { messageOf } from '../../attestation/base/index.ts'
import type { CallFrame, FfiAdapter, NativeFunction, NativeLibrary } from './ffi-adapter.ts'
import type { Prototype, ScalarKind } from './prototypes.ts'
import { TssError } from './tss-error.ts'

/** Loaded by soname: the bare `.so` is in the development package only. */
const SONAMES: Readonly<Record<Prototype['library'], string>> = {
  esys: 'libtss2-esys.so.0',
  tctildr: 'libtss2-tctildr.so.0',
  mu: 'libtss2-mu.so.0',
  rc: 'libtss2-rc.so.0',
}
const PACKAGES: Readonly<Record<Prototype['library'], string>> = {
  esys: 'libtss2-esys-3.0.2-0',
  tctildr: 'libtss2-tctildr0',
  mu: 'libtss2-mu0',
  rc: 'libtss2-rc0',
}

/** The four shared libraries of tpm2-tss, each opened when first needed. */
export class TssLibraries {
  readonly ffi: FfiAdapter
  readonly #sonames: Readonly<Record<Prototype['library'], string>>
  readonly #open = new Map<string, NativeLibrary>()

  constructor(ffi: FfiAdapter, sonames: Partial<Record<Prototype['library'], string>> = {}) {
    this.ffi = ffi
    this.#sonames = { ...SONAMES, ...sonames }
  }

  /**
   * Binds a function to a call frame. Symbols of the C library (strncpy, memcpy) are found through any of the four,
   * because the dynamic loader also searches what a library depends on.
   *
   * @throws TssError TSS_LIBRARY_MISSING naming the Debian package
   */
  bind(
    library: Prototype['library'],
    symbol: string,
    returns: Prototype['returns'],
    parameters: readonly ScalarKind[],
    frame: CallFrame,
  ): NativeFunction {
    try {
      return this.#library(library).bind(symbol, returns, parameters, frame)
    } catch (cause) {
      if (cause instanceof TssError) throw cause
      const soname = this.#sonames[library]
      throw new TssError('TSS_LIBRARY_MISSING', `${soname} has no ${symbol}: tpm2-tss 3.2 or later is needed`, {
        cause,
      })
    }
  }

  #library(library: Prototype['library']): NativeLibrary {
    const known = this.#open.get(library)
    if (known !== undefined) return known
    const soname = this.#sonames[library]
    try {
      const opened = this.ffi.open(soname)
      this.#open.set(library, opened)
      return opened
    } catch (cause) {
      const message = `${soname} cannot be loaded (${messageOf(cause)}): install the Debian package ${PACKAGES[library]} (apt-get install ${PACKAGES[library]})`
      throw new TssError('TSS_LIBRARY_MISSING', message, { cause })
    }
  }
}
