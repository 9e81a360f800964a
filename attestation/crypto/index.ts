export { digest, type HashAlgorithm, hashSize, hmac } from './hash.ts'
