declare const __HOLDFAST_VERSION__: string | undefined

/** Version of this program; 'source' where it was not built. */
export const VERSION: string = typeof __HOLDFAST_VERSION__ === 'string' ? __HOLDFAST_VERSION__ : 'source'
