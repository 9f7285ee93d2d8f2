package host

// checks are all checks in the order in which their fixes are to be done: the
// runtime wrapper stands before the engine, which then starts with it. The first
// is the only one that can be made on another system than Linux.
var checks = []Check{
	{
		Name: "platform", Title: "Operating system",
		Why: "the nodes are Linux containers with this machine's kernel, and the fixes know Linux",
		Run: (*Host).checkPlatform,
	},
	{
		Name: "capabilities", Title: "Capabilities",
		Why: `a node is a privileged container; where the machine itself lacks a capability, starting one fails with "unable to apply caps"`,
		Run: (*Host).checkCapabilities, Fix: (*Host).installWrapper,
	},
	{
		Name: "engine", Title: "Container engine",
		Why: "the cluster's nodes are its containers",
		Run: (*Host).checkEngine, Fix: (*Host).installEngine,
	},
	{
		Name: "engine-kind", Title: "Kind of engine",
		Why: "the node image and the fixes were tried with Docker run by root; other kinds isolate more than a node can bear",
		Run: (*Host).checkEngineKind,
	},
	{
		Name: "cgroup", Title: "Control groups",
		Why: "the kubelet accounts for pods with them; version 1 goes away in Kubernetes and is only accepted on request",
		Run: (*Host).checkCgroup,
	},
	{
		Name: "iptables", Title: "Packet filter",
		Why: "the engine connects containers and publishes ports with iptables",
		Run: (*Host).checkIptables,
	},
	{
		Name: "kernel", Title: "Kernel",
		Why: "images are stacked with overlay, and Services need their packets to pass the packet filter",
		Run: (*Host).checkKernel,
	},
	{
		Name: "policies", Title: "Network policies",
		Why: "the kernel enforces them; where it can't, every pod would reach every other, and the platform isn't called ready",
		Run: (*Host).checkPolicies,
	},
	{
		Name: "processors", Title: "Processors",
		Why: "on one processor the control plane alone keeps it busy, and waits run out",
		Run: (*Host).checkProcessors,
	},
	{
		Name: "memory", Title: "Memory",
		Why: "the platform takes up to 4 GiB and builds some more; without it the kernel kills pods at random",
		Run: (*Host).checkMemory,
	},
	{
		Name: "disk", Title: "Disk",
		Why: "a full disk corrupts what is being built and makes the node evict pods",
		Run: (*Host).checkDisk,
	},
	{
		Name: "inotify", Title: "File watches",
		Why: `all pods of all nodes share these limits of the kernel, and fail with "too many open files" when they are used up`,
		Run: (*Host).checkInotify, Fix: (*Host).raiseInotify,
	},
	{
		Name: "pids", Title: "Processes",
		Why: "a platform is some thousand threads; at the limit nothing can start any more",
		Run: (*Host).checkPids,
	},
	{
		Name: "port", Title: "Front door's port",
		Why: "Gitea and the other pages are reached through it",
		Run: (*Host).checkPort,
	},
	{
		Name: "networks", Title: "Networks",
		Why: "an address that the cluster uses itself can't be reached from inside it, nor the cluster from here",
		Run: (*Host).checkNetworks,
	},
	{
		Name: "names", Title: "Names under localhost",
		Why: "the pages are at such names; browsers and curl resolve them by themselves, other programs may not",
		Run: (*Host).checkNames,
	},
	{
		Name: "proxy", Title: "Proxy settings",
		Why: "they are handed on to the nodes; what is inside must not be asked for outside",
		Run: (*Host).checkProxy,
	},
	{
		Name: "tools", Title: "Tools for building images",
		Why: "without a container registry the images are built here, from Go modules and Debian packages",
		Run: (*Host).checkTools, Fix: (*Host).installTools,
	},
	{
		Name: "supply", Title: "Sources of images",
		Why: "images have to come from somewhere, once: the store keeps them",
		Run: (*Host).checkSupply,
	},
}
