export { type Authenticator, TokenAuthenticator } from './authenticator.ts'
export type { Principal } from './permissions.ts'
export type { ApiSources } from './route.ts'
export { type ApiOptions, makeApi, type RateLimits, type RunningApi, startApi } from './server.ts'
