export { MetadataServer } from './server.ts'
export { metadataServiceKey } from './service-key.ts'
export { METADATA_ADDRESS, METADATA_PORT, METADATA_SECRET_BYTES, METADATA_VARIABLE, metadataUrl } from './token.ts'
