"""Names that honest checkpoints hold, by what a pickle may do with them.

``EXPECTED`` is what torch, Dassl and numpy write in every file; the rest are value classes of known
libraries: those whose call makes a value and nothing else, and those that pickles make empty
(NEWOBJ) and fill, whose constructors nobody calls. The lists of enums are those of torch 2.15,
torchvision 0.29, transformers 5.24, accelerate 1.15, peft 0.21, lightning 2.6, timm 1.0, omegaconf
2.4 and hydra 1.3, and of their earlier names. A new library is one row; a function or a class that
opens, imports or runs anything belongs to none.
"""

from __future__ import annotations

import re

from inspector.checkpoint.pickles.known import DTYPES, PARTIALS


def names(prefix: str, listed: str) -> set[str]:
    """The dotted names of what one module holds."""
    return {f"{prefix}.{name}" for name in listed.split()}


_STORAGES = (
    "Float Half BFloat16 Double Long Int Short Char Byte Bool ComplexFloat ComplexDouble "
    "QInt8 QUInt8 QInt32 QUInt4x2 QUInt2x4"
)
_REBUILD = (
    "_rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_parameter "
    "_rebuild_parameter_with_state _rebuild_sparse_tensor _rebuild_qtensor "
    "_rebuild_meta_tensor_no_storage _rebuild_nested_tensor _rebuild_wrapper_subclass "
    "_rebuild_device_tensor_from_numpy _rebuild_device_tensor_from_cpu_tensor "
    "_rebuild_sparse_csr_tensor _rebuild_xla_tensor _rebuild_mlc_tensor"
)
_LAYOUTS = "strided sparse_coo sparse_csr sparse_csc sparse_bsr sparse_bsc"

ONLY_NAMED = frozenset(
    names("torch", " ".join(f"{kind}Storage" for kind in _STORAGES.split()))
    | names("torch.storage", "UntypedStorage TypedStorage")
    | names("torch.nn.parameter", "Parameter Buffer")
    | {"torch.Tensor"}
)
"""Named as types by honest pickles, and called by none: a call takes as much
memory as it is told."""

EXPECTED: frozenset[str] = frozenset(
    names("collections", "OrderedDict defaultdict Counter")
    | names("builtins", "dict list tuple set frozenset int float bool str bytes bytearray")
    | names("builtins", "complex object slice range")
    | names("torch", f"Size device {' '.join(DTYPES)} {_LAYOUTS}")
    | names("torch._utils", _REBUILD)
    | names("torch._tensor", "_rebuild_from_type_v2 _rebuild_from_type")
    | {"torch.tensor._rebuild_from_type"}
    | names("torch.serialization", "_get_layout")
    | {"copyreg._reconstructor", "_codecs.encode"}
    | names("numpy", "ndarray dtype")
    | names("numpy.core.multiarray", "scalar _reconstruct")
    | names("numpy._core.multiarray", "scalar _reconstruct")
    | names("numpy._core.numeric", "_frombuffer")
    | names("numpy.core.numeric", "_frombuffer")
    | ONLY_NAMED
)

_CLASS = r"(\.[a-z_0-9]+)*\.[A-Z][A-Za-z0-9]*"

_EXPECTED_CLASS = re.compile(rf"(torch\.optim|dassl\.optim){_CLASS}")
"""Live state of a training run: optimisers and schedules. Their constructors write to tensors."""
_ENUMS = """
    torch.amp.grad_scaler OptState
    torch.cuda.amp.grad_scaler OptState
    torchvision.transforms.functional InterpolationMode
    torchvision.transforms.autoaugment AutoAugmentPolicy
    torchvision.io.image ImageReadMode
    torchvision.tv_tensors._bounding_boxes BoundingBoxFormat
    timm.layers.format Format
    omegaconf.base SCMode
    omegaconf._utils ValueKind
    hydra.types ConvertMode RunMode
    hydra.core.object_type ObjectType
    hydra.core.utils JobStatus
    transformers.trainer_utils FSDPOption HPSearchBackend HubStrategy IntervalStrategy SaveStrategy
    transformers.trainer_utils SchedulerType EvaluationStrategy EvaluateStrategy LoggingStrategy
    transformers.trainer_utils ShardedDDPOption
    transformers.training_args OptimizerNames ParallelMode
    transformers.debug_utils DebugOption
    transformers.generation.configuration_utils GenerationMode
    transformers.image_transforms PaddingMode
    transformers.image_utils AnnotationFormat AnnotionFormat ChannelDimension ImageType
    transformers.tokenization_utils_base TruncationStrategy
    transformers.utils.generic PaddingStrategy TensorType
    transformers.file_utils PaddingStrategy TensorType
    transformers.utils.quantization_config AwqBackend AwqFormat AWQLinearVersion
    transformers.utils.quantization_config AwqBackendPackingMethod ExllamaVersion QuantizationMethod
    accelerate.utils.dataclasses ComputeEnvironment CustomDtype DDPCommunicationHookType
    accelerate.utils.dataclasses DistributedType DynamoBackend FP8BackendType LoggerType
    accelerate.utils.dataclasses PrecisionType RNGType SageMakerDistributedType
    peft.utils.peft_types PeftType TaskType
    peft.utils.config PeftType TaskType
    peft.tuners.prompt_tuning PromptTuningInit
    peft.tuners.prompt_tuning.config PromptTuningInit
    peft.tuners.p_tuning PromptEncoderReparameterizationType
    peft.tuners.p_tuning.config PromptEncoderReparameterizationType
    peft.tuners.multitask_prompt_tuning.config MultitaskPromptTuningInit
    torchmetrics.utilities.enums AverageMethod ClassificationTask ClassificationTaskNoBinary
    torchmetrics.utilities.enums ClassificationTaskNoMultilabel DataType MDMCAverageMethod
"""
_LIGHTNING = r"(lightning\.pytorch|pytorch_lightning)"
_VALUE = re.compile(
    r"pathlib(\._local|\._abc)?\.(Pure)?(Posix|Windows)?Path|argparse\.Namespace|types\.SimpleNamespace"
    r"|datetime\.(datetime|date|time|timedelta|timezone)|decimal\.Decimal|fractions\.Fraction"
    r"|collections\.deque|uuid\.(UUID|SafeUUID)|ipaddress\.IPv[46]Address"
    r"|yacs\.config\.CfgNode|easydict\.EasyDict|addict\.addict\.Dict"
    r"|ml_collections\.(config_dict\.)*(Frozen)?ConfigDict"
    r"|numpy\.random\._pickle\.__(bit_)?(generator|randomstate)_ctor"
    r"|numpy\.random\.__RandomState_ctor"
    r"|numpy\.random\.bit_generator\.(__pyx_unpickle_)?SeedSequence"
    r"|numpy\.random\._(pcg64|mt19937|philox|sfc64)\.[A-Z][A-Z0-9a-z]*"
    r"|torch\.torch_version\.TorchVersion"
    rf"|{_LIGHTNING}\.(callbacks\.early_stopping\.EarlyStoppingReason"
    r"|callbacks\.prediction_writer\.WriteInterval|callbacks\.timer\.Interval"
    r"|trainer\.states\.(RunningStage|TrainerFn|TrainerStatus)"
    r"|utilities\.enums\.(GradClipAlgorithmType|AMPType|DistributedType|DeviceType|ModelSummaryMode))"
)
"""Values that a call makes, from plain arguments or from one another."""
_FILLED = re.compile(
    rf"torch\.nn\.modules{_CLASS}|torch\.nn\.parallel\.data_parallel\.DataParallel"
    r"|torch\.(cuda\.)?amp\.grad_scaler\.(GradScaler|_MultiDeviceReplicator|_refresh_per_optimizer_state)"
    r"|torch\.nn\.functional\.\w+|torch\.nn\.init\.\w+|torch\._C\._nn\.\w+"
    r"|torch\.(relu|tanh|sigmoid|nn\.modules\.linear\.Identity)"
    r"|collections\.UserDict|collections\.UserList|collections\.ChainMap|numpy\.(matrixlib\.defmatrix\.)?matrix"
    r"|typing\.[A-Z][A-Za-z]*"
    r"|numpy\.(bool_?|float(16|32|64|_)|u?int(8|16|32|64|_)?|complex(64|128)|longdouble|str_?|bytes_|void"
    r"|object_|datetime64|timedelta64)|numpy\.dtypes\.[A-Z]\w*DType"
    rf"|({_LIGHTNING}\.utilities\.parsing|lightning(\.|_)fabric\.utilities\.data)\.AttributeDict"
    rf"|{_LIGHTNING}\.trainer\.states\.TrainerState"
    r"|omegaconf\.(dictconfig\.DictConfig|listconfig\.ListConfig|base\.(Container)?Metadata"
    r"|(nodes|base)\.[A-Z][A-Za-z]*Node)"
    rf"|torchvision\.(transforms|ops|models){_CLASS}"
    r"|transformers(\.[a-z_0-9]+)*\.(modeling|configuration)_[a-z_0-9]+\.[A-Z]\w*"
    r"|transformers\.(training_args|training_args_seq2seq|trainer_utils|trainer_pt_utils|trainer_callback"
    r"|activations|modeling_outputs|utils\.quantization_config|integrations\.deepspeed)\.[A-Z]\w*"
    r"|accelerate\.(state|scheduler|optimizer|utils\.dataclasses)\.[A-Z]\w*"
    r"|peft\.(config|peft_model|mixed_model)\.[A-Z]\w*|peft\.tuners(\.[a-z_0-9]+)+\.[A-Z]\w*"
    rf"|timm\.(models|layers|optim|scheduler|loss|data\.mixup|utils\.model_ema){_CLASS}"
    r"|open_clip\.(model|transformer|modified_resnet|timm_model|hf_model|coca_model|loss)\.[A-Z]\w*"
    r"|clip\.model\.(CLIP|VisionTransformer|Transformer|ResidualAttentionBlock|LayerNorm|QuickGELU"
    r"|ModifiedResNet|AttentionPool2d|Bottleneck)"
    rf"|torchmetrics{_CLASS}|dassl{_CLASS}"
)
"""Classes that pickles make empty and fill, types and functions that they only name."""
_IDLE = frozenset({*PARTIALS, "builtins.type", "builtins.getattr"})
"""Run nothing in the one way in which honest pickles call them."""


def _enums() -> frozenset[str]:
    rows = (line.split() for line in _ENUMS.strip().splitlines())
    return frozenset(f"{module}.{name}" for module, *listed in rows for name in listed)


_ENUM_NAMES = _enums()


def is_value(dotted: str) -> bool:
    """Whether a call of this name makes a value and nothing else."""
    return dotted in _ENUM_NAMES or _VALUE.fullmatch(dotted) is not None


def is_filled(dotted: str) -> bool:
    """Whether an honest pickle may name it, make it empty and fill it, but not call it."""
    return _FILLED.fullmatch(dotted) is not None


def is_live_state(dotted: str) -> bool:
    """The same of the optimisers and schedules that a Dassl file always holds."""
    return _EXPECTED_CLASS.fullmatch(dotted) is not None


def is_honest(dotted: str) -> bool:
    """Whether an honest pickle may name it at all."""
    return (
        dotted in EXPECTED
        or dotted in _IDLE
        or is_value(dotted)
        or is_filled(dotted)
        or is_live_state(dotted)
    )
