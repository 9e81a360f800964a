declare const brand: unique symbol
/** A value that has passed its constructor's check: `Brand<number, 'PcrIndex'>`. Only that constructor makes one. */
export type Brand<Base, Name extends string> = Base & { readonly [brand]: Name }
