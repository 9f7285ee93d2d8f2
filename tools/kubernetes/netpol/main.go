// Command netpol runs Kubernetes' own end-to-end tests of network policies, and no others of its tests, against the
// cluster that --kubeconfig names. Its flags are those of Kubernetes' e2e.test, and --image.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"k8s.io/kubernetes/test/e2e/framework"
	"k8s.io/kubernetes/test/e2e/framework/config"
	imageutils "k8s.io/kubernetes/test/utils/image"

	_ "k8s.io/kubernetes/test/e2e/network/netpol"
)

func main() {
	config.CopyFlags(config.Flags, flag.CommandLine)
	framework.RegisterCommonFlags(flag.CommandLine)
	framework.RegisterClusterFlags(flag.CommandLine)
	image := flag.Bool("image", false, "say the name of the image that the tests run, and end")
	flag.Parse()
	if *image {
		fmt.Println(imageutils.GetE2EImage(imageutils.Agnhost))
		return
	}
	framework.AfterReadingAllFlags(&framework.TestContext)
	gomega.RegisterFailHandler(framework.Fail)
	suite, reporter := framework.CreateGinkgoConfig()
	if !ginkgo.RunSpecs(failed{}, "Kubernetes e2e: network policies", suite, reporter) {
		os.Exit(1)
	}
}

// failed hears of a failure, which RunSpecs returns too.
type failed struct{}

func (failed) Fail() {}
