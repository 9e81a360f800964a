/** For policies that do not speak of entering: to leave the action open is to mean launches. */
export const LAUNCH_ONLY_SCHEMA = `// What launch policies can speak of. Policies are checked against this file when they are loaded.

// The machine that asks. All of it comes from the verifier's own records and its appraisal, none from the machine's word.
entity Node = {
  id: String,             // node ID: SHA-256 name of its endorsement key
  tier: String,           // of the appraisal that goes with this very request: "affirming", "warning", "contraindicated", "none"
  mode: String,           // of its agent, as measured: "enforce", "audit", "off"
  admittedBy: String,     // "operator", "token", "listed" or "host"
  kind: String,           // "machine", or "pod": a virtual machine, with a TPM that its host vouches for
  labels: Set<String>,    // what operators said of it, as "key=value"
};

// One image of the pod. Names are what the node was told; id and tree are measured.
type Image = {
  name: String,
  id: String,             // image ID: "sha256-..." (OCI) or "sha512-..." (ACI)
  tree: String,           // tree digest of its rendered root file system: "erofs-verity-2:sha256:..."
  verification: String,   // how the tree was checked just now: "full-file", "stat-cache", "dm-verity"
  signers: Set<String>,   // keys whose signature was checked when it was fetched
  relaxed: Set<String>,   // checks that --insecure-options left out when it was fetched
  manifest?: String,      // digest of the OCI manifest: "sha256:..."
  policy?: String,        // SHA-256 of the image policy of the node that let it in when it was fetched
  policyScope?: String,   //   and the scope of it that was used
};

type Volume = { name: String, kind: String, readOnly: Bool, source?: String };
type Isolator = { name: String, value: String };
type Port = { name: String, protocol: String, podPort: Long, hostPort: Long, hostIp: String }; // hostIp "": all addresses
type HostProgram = { path: String, sha256: String };

// The pod that is to be started.
entity Pod = {
  uuid: String,
  flavour: String,        // of its stage1, "nspawn" or "kvm"
  stage1Name: String,
  stage1Id: String,
  stage1Tree: String,
  stage1Verification: String,
  interfaceVersion: Long,
  hostPrograms: Set<HostProgram>,     // programs of the host that take part: systemd-nspawn, QEMU, plugins of networks
  accelerator?: String,               // of a pod that is a virtual machine: "kvm", or "tcg", which is emulation and no boundary to rely on
  kernel?: String,                    //   SHA-256 of what runs in it before any app
  initramfs?: String,
  kernelCommandLine?: String,
  firmware?: Set<HostProgram>,        //   and of the files that QEMU loads into it
  memoryMiB?: Long,
  processors?: Long,
  images: Set<Image>,
  imageCount: Long,
  imageNames: Set<String>,            // of all its images; Cedar's way to say "each of them is one of these" is
  imageRepositories: Set<String>,     //   [...].containsAll(resource.imageIds)
  imageIds: Set<String>,
  imageTrees: Set<String>,
  signers: Set<String>,               // keys that signed every one of its images
  imagePolicies: Set<String>,         // SHA-256 of every image policy that let one of them in; "" for an image that none was asked about
  relaxed: Set<String>,               // every check that was left out, at fetch or now
  network: String,                    // "none", "host", or "cni" with these:
  networks: Set<String>,              // their names; what a name means is in the node's configuration, which is measured
  networkConfigs: Set<String>,        // SHA-256 of each one's file; its plugins are among the host programs
  ports: Set<Port>,                   // ports of the host that lead to the pod
  hostPorts: Set<Long>,
  volumes: Set<Volume>,
  volumeSources: Set<String>,         // host paths of its volumes
  isolators: Set<Isolator>,
  isolatorNames: Set<String>,
};

action launch appliesTo { principal: Node, resource: Pod, context: {} };
`

/**
 * What a launch policy can speak of, in Cedar's schema language; `facts.ts` fills it in. `config/cedar/launch.cedarschema` is
 * the same text for editors (a test compares them), and `holdfast policy schema` prints it.
 */
export const LAUNCH_SCHEMA = `${LAUNCH_ONLY_SCHEMA}
// A pod that runs, as the proven launch log knows it.
entity RunningPod = {
  uuid: String,
  stage1Id: String,
  imageIds: Set<String>,
  unticketed: Bool,       // it was launched while its agent did not enforce
};

// Somebody wants to run a program inside an app of it (holdfast enter). Only policies that name
// this action decide it; those that leave the action open are about launches.
action enter appliesTo { principal: Node, resource: RunningPod, context: {
  app: String,
  program: String,        // its name or path; arguments may be secrets and are measured as a keyed digest
  uid: Long,              // of who asked, by the word of the node's kernel
  gid: Long,
} };
`
