// Reference for the bench pcr-extend: the same TPM2_PCR_Extend as our stack sends, straight on ESYS.
// Usage: pcr-extend TCTI PCR COUNT password|salted   prints the nanoseconds of each extend, one a line.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>

#define CHECK(call)                                         \
  do {                                                      \
    TSS2_RC rc = (call);                                    \
    if (rc != TSS2_RC_SUCCESS) {                            \
      fprintf(stderr, #call " gave 0x%08" PRIx32 "\n", rc); \
      exit(1);                                              \
    }                                                       \
  } while (0)

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// HMAC session salted by a P-256 primary key, with AES-128-CFB, as TpmConnection has it.
static ESYS_TR salted_session(ESYS_CONTEXT *esys) {
  TPM2B_SENSITIVE_CREATE sensitive = {0};
  TPM2B_PUBLIC public = {.publicArea = {.type = TPM2_ALG_ECC,
                                        .nameAlg = TPM2_ALG_SHA256,
                                        .objectAttributes = TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT |
                                                            TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                                            TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                                                            TPMA_OBJECT_NODA}};
  TPMS_ECC_PARMS *ecc = &public.publicArea.parameters.eccDetail;
  ecc->symmetric.algorithm = TPM2_ALG_AES;
  ecc->symmetric.keyBits.aes = 128;
  ecc->symmetric.mode.aes = TPM2_ALG_CFB;
  ecc->scheme.scheme = TPM2_ALG_NULL;
  ecc->curveID = TPM2_ECC_NIST_P256;
  ecc->kdf.scheme = TPM2_ALG_NULL;
  TPM2B_DATA outside = {0};
  TPML_PCR_SELECTION none = {0};
  ESYS_TR key, session;
  CHECK(Esys_CreatePrimary(esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &public,
                           &outside, &none, &key, NULL, NULL, NULL, NULL));
  TPMT_SYM_DEF aes = {.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
  CHECK(Esys_StartAuthSession(esys, key, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL, TPM2_SE_HMAC,
                              &aes, TPM2_ALG_SHA256, &session));
  CHECK(Esys_FlushContext(esys, key));
  CHECK(Esys_TRSess_SetAttributes(esys, session, TPMA_SESSION_CONTINUESESSION, 0xff));
  return session;
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: %s TCTI PCR COUNT password|salted\n", argv[0]);
    return 2;
  }
  ESYS_TR pcr = (ESYS_TR)atoi(argv[2]);
  int count = atoi(argv[3]);
  TSS2_TCTI_CONTEXT *tcti = NULL;
  ESYS_CONTEXT *esys = NULL;
  CHECK(Tss2_TctiLdr_Initialize(argv[1], &tcti));
  CHECK(Esys_Initialize(&esys, tcti, NULL));
  int salted = strcmp(argv[4], "salted") == 0;
  ESYS_TR session = salted ? salted_session(esys) : ESYS_TR_PASSWORD;
  TPML_DIGEST_VALUES digests = {.count = 1, .digests[0].hashAlg = TPM2_ALG_SHA256};
  for (int i = 0; i < count; i++) {
    memset(digests.digests[0].digest.sha256, i & 0xff, 32);
    uint64_t before = now();
    CHECK(Esys_PCR_Extend(esys, pcr, session, ESYS_TR_NONE, ESYS_TR_NONE, &digests));
    printf("%" PRIu64 "\n", now() - before);
  }
  if (salted) CHECK(Esys_FlushContext(esys, session));
  Esys_Finalize(&esys);
  Tss2_TctiLdr_Finalize(&tcti);
  return 0;
}
