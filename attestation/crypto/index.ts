export { aesCfbDecrypt, aesCfbEncrypt } from './aes-cfb.ts'
export { type CertificateSignatureScheme, verifyCertificateSignature } from './certificate-signature.ts'
export { type FileHash, type FileKey, importFileKey, verifyDigestSignature } from './digest-signature.ts'
export { type EcPoint, ecdhEphemeral, ecdhStatic, ecPoint } from './ecdh.ts'
export {
  type Ed25519PublicKey,
  ed25519PublicKeyOf,
  importEd25519PublicKey,
  signEd25519,
  verifyEd25519,
} from './ed25519.ts'
export { type ExtendChain, extendChain } from './extend-chain.ts'
export { digest, type HashAlgorithm, hashSize, hmac } from './hash.ts'
export { bytesText, type DigestBuffer, digestBuffer, digestInto, digestText } from './one-shot.ts'
export {
  coordinateBytes,
  type EcCurve,
  exportSpki,
  importEcPublicKey,
  importRsaPublicKey,
  importSpki,
  KEY_ERRORS,
  KeyError,
  leftPad,
  type PrivateKey,
  type PublicKey,
  unsigned,
} from './public-key.ts'
export { rsaOaepDecrypt, rsaOaepEncrypt } from './rsa-oaep.ts'
export {
  type DetachedSignature,
  ecdsaDer,
  type SignatureAlgorithm,
  type SignatureHash,
  verifySignature,
  verifySignatureInPool,
} from './signature.ts'
