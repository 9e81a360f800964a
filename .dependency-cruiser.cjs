// Which folder may import which: imports run one way, and the pure folders stay pure (no I/O, no process, no native code).
const PURE =
  '^(attestation/(base|encoding|settings|tpm2|event-log|endorsement|results|reference-values|appraisal|appraisal-policy|machine|evidence-file|evidence-report|protocol|sigstore|transparency-log)|stage1/manifest)/'
module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'pure-has-no-node-builtins',
      comment: 'Pure folders take values and give values; attestation/crypto is their one port to the platform.',
      severity: 'error',
      from: { path: PURE },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'pure-imports-pure',
      severity: 'error',
      from: { path: PURE },
      to: { path: '^(agent|attestation|stage1|native|holdfast)', pathNot: [PURE, '^attestation/crypto/'] },
    },
    {
      name: 'base-is-the-leaf',
      severity: 'error',
      from: { path: '^attestation/(base|crypto)/' },
      to: { path: '^(agent|attestation|stage1|native)/', pathNot: '^attestation/(base|crypto)/' },
    },
    {
      name: 'tpm2-and-manifest-import-only-base',
      severity: 'error',
      from: { path: '^(attestation/tpm2|stage1/manifest)/' },
      to: {
        path: '^(agent|attestation|stage1|native)/',
        pathNot: '^(attestation/(base|crypto)/|$1/)',
      },
    },
    {
      name: 'verifier-needs-no-tpm',
      comment: 'The verifier runs on a machine with no TPM and no tpm2-tss.',
      severity: 'error',
      from: { path: '^attestation/' },
      to: { path: '^(native|agent|stage1/(image|pod|flavours|cli))/' },
    },
    {
      name: 'shared-libraries-only-in-native',
      severity: 'error',
      from: { pathNot: '^native/' },
      to: { path: 'node_modules/(@2060.io/ffi-napi|ffi-napi|koffi|ref-napi|@2060.io/ref-napi)' },
    },
    {
      name: 'tss-only-in-the-tpm-process',
      comment: 'Only the process that can be killed loads tpm2-tss.',
      severity: 'error',
      from: { pathNot: '^(native/tss/|agent/tpm/)' },
      to: { path: '^native/tss/' },
    },
    {
      name: 'stage0-does-not-import-the-agent',
      comment: 'stage0 speaks to the agent over its unix socket; agent/local-api holds the shared shapes.',
      severity: 'error',
      from: { path: '^stage1/' },
      to: { path: '^(agent/(?!local-api/)|attestation/(verifier|store|cli)/)' },
    },
    {
      name: 'agent-does-not-import-the-verifier',
      severity: 'error',
      from: { path: '^agent/' },
      to: { path: '^attestation/(verifier|store|cli)/' },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      extensions: ['.ts', '.js', '.json'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
}
