/** What the command that makes tokens needs of the API: it loads no HTTP library. */
export { ROLES, type Role } from './permissions.ts'
export { apiTokenDigest, newApiToken } from './token.ts'
