"""What the documents promise of the package: modules, names, classes, members, defaults and annotations.

Written as Python declarations, one text per module, from the API pages of the backends (S0) and of the interfaces (S1),
the page on storage backends (S4), and what the released package of that name adds to them. `audit.py` compares.

A default of ``now()`` is an aware instant, ``uuid4()`` a fresh UUID as text, made for each object.
"""

from __future__ import annotations

INTERFACES = """
class MessageRole(Enum):
    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    FUNCTION = "function"
    TOOL = "tool"

class SessionStatus(Enum):
    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    ARCHIVED = "archived"
    EXPIRED = "expired"

class MemoryBackendType(Enum):
    IN_MEMORY = "in_memory"
    SQLITE = "sqlite"
    REDIS = "redis"
    POSTGRES = "postgres"
    MONGODB = "mongodb"
    CHROMADB = "chromadb"
    QDRANT = "qdrant"
    BIGQUERY = "bigquery"
    ELASTICSEARCH = "elasticsearch"
    MEMORY_PRO = "memory_pro"

class Message:
    role: MessageRole
    content: str
    timestamp: datetime = now()
    message_id: str = uuid4()
    metadata: Dict[str, Any] = {}
    token_count: Optional[int] = None
    function_call: Optional[Dict[str, Any]] = None
    tool_calls: Optional[List[Dict[str, Any]]] = None
    def to_dict(self) -> Dict[str, Any]: ...
    @classmethod
    def from_dict(cls, data: Dict[str, Any]) -> Message: ...
    def to_openai_format(self) -> Dict[str, Any]: ...
    def to_anthropic_format(self) -> Dict[str, Any]: ...

class ConversationSummary:
    summary: str
    message_count: int
    start_time: datetime
    end_time: datetime
    key_topics: List[str] = []
    summary_id: str = uuid4()
    created_at: datetime = now()

class SessionMetadata:
    session_id: str
    user_id: Optional[str] = None
    agent_id: Optional[str] = None
    workflow_id: Optional[str] = None
    max_messages: int = 100
    max_tokens: Optional[int] = None
    auto_summarize: bool = True
    summary_threshold: int = 50
    status: SessionStatus = SessionStatus.ACTIVE
    created_at: datetime = now()
    updated_at: datetime = now()
    expires_at: Optional[datetime] = None
    tags: List[str] = []
    properties: Dict[str, Any] = {}
    def is_expired(self) -> bool: ...
    def update_timestamp(self): ...

class MemoryUsage:
    session_count: int = 0
    message_count: int = 0
    total_tokens: int = 0
    storage_size_bytes: int = 0
    active_sessions: int = 0
    last_cleanup: Optional[datetime] = None

class IMemorySession(ABC):
    @property
    def session_id(self) -> str: ...
    @property
    def metadata(self) -> SessionMetadata: ...
    async def add_message(self, message: Message) -> bool: ...
    async def clear_messages(self, keep_system: bool = True) -> bool: ...
    async def close(self) -> bool: ...
    async def create_summary(self, force: bool = False) -> Optional[ConversationSummary]: ...
    async def get_messages(self, limit: Optional[int] = None, include_system: bool = True,
                           since: Optional[datetime] = None) -> List[Message]: ...
    async def get_recent_context(self, max_tokens: Optional[int] = None) -> List[Message]: ...
    async def get_summary(self) -> Optional[ConversationSummary]: ...
    async def update_metadata(self, **kwargs) -> bool: ...

class IMemoryBackend(ABC):
    @property
    def backend_type(self) -> MemoryBackendType: ...
    @property
    def is_connected(self) -> bool: ...
    async def cleanup_expired_sessions(self) -> int: ...
    async def connect(self) -> bool: ...
    async def create_session(self, metadata: SessionMetadata) -> IMemorySession: ...
    async def delete_session(self, session_id: str) -> bool: ...
    async def disconnect(self) -> bool: ...
    async def get_session(self, session_id: str) -> Optional[IMemorySession]: ...
    async def get_usage_stats(self) -> MemoryUsage: ...
    async def health_check(self) -> Dict[str, Any]: ...
    async def list_sessions(self, user_id: Optional[str] = None, status: Optional[SessionStatus] = None,
                            limit: int = 100, offset: int = 0) -> List[SessionMetadata]: ...

class IMemoryManager(ABC):
    async def cleanup_expired_sessions(self) -> int: ...
    async def create_session(self, session_id: Optional[str] = None, user_id: Optional[str] = None,
                             agent_id: Optional[str] = None, **kwargs) -> IMemorySession: ...
    async def delete_session(self, session_id: str) -> bool: ...
    async def get_or_create_session(self, session_id: str, user_id: Optional[str] = None,
                                    agent_id: Optional[str] = None, **kwargs) -> IMemorySession: ...
    async def get_session(self, session_id: str) -> Optional[IMemorySession]: ...
    async def get_system_stats(self) -> Dict[str, Any]: ...
    async def list_user_sessions(self, user_id: str, status: Optional[SessionStatus] = None,
                                 limit: int = 50) -> List[SessionMetadata]: ...

class IMemoryProvider(ABC):
    @property
    def provider_name(self) -> str: ...
    @property
    def capabilities(self) -> List[str]: ...
    async def analyze_conversation(self, messages: List[Message]) -> Dict[str, Any]: ...
    async def extract_entities(self, messages: List[Message]) -> List[Dict[str, Any]]: ...
    async def get_insights(self, session: IMemorySession) -> Dict[str, Any]: ...
    async def suggest_actions(self, session: IMemorySession) -> List[Dict[str, Any]]: ...

class IMemoryMigrator(ABC):
    async def backup_data(self, backend: IMemoryBackend, backup_path: str) -> bool: ...
    async def migrate_from_v1(self, source_config: Dict[str, Any], target_backend: IMemoryBackend,
                              progress_callback: Optional[Callable] = None) -> Dict[str, Any]: ...
    async def restore_data(self, backend: IMemoryBackend, backup_path: str) -> bool: ...
    async def validate_migration(self, source_config: Dict[str, Any],
                                 target_backend: IMemoryBackend) -> Dict[str, Any]: ...

MemoryConfig = Dict[str, Any]
MemoryEvent = Dict[str, Any]
SearchQuery = Union[str, Dict[str, Any]]
SearchResult = Dict[str, Any]
BatchOperation = Dict[str, Any]
BatchResult = Dict[str, Any]
SerializationFormat = str
MessageList = List[Message]
SessionList = List[SessionMetadata]
MemoryCallback = Callable[[Dict[str, Any]], None]
ProgressCallback = Callable[[int, int, str], None]
"""

_SESSION = """
class {name}Session(BaseMemorySession):
    @property
    def session_id(self) -> str: ...
    @property
    def metadata(self) -> SessionMetadata: ...
    async def add_message(self, message: Message) -> bool: ...
    async def clear_messages(self, keep_system: bool = True) -> bool: ...
    async def close(self) -> bool: ...
    async def create_summary(self, force: bool = False) -> Optional[ConversationSummary]: ...
    async def get_messages(self, limit: Optional[int] = None, include_system: bool = True,
                           since: Optional[datetime] = None) -> List[Message]: ...
    async def get_recent_context(self, max_tokens: Optional[int] = None) -> List[Message]: ...
    async def get_summary(self) -> Optional[ConversationSummary]: ...
    async def update_metadata(self, **kwargs) -> bool: ...
"""

_BACKEND = """
class {name}Backend(BaseMemoryBackend):
    @property
    def backend_type(self) -> MemoryBackendType: ...
    @property
    def is_connected(self) -> bool: ...
    async def cleanup_expired_sessions(self) -> int: ...
    async def connect(self) -> bool: ...
    async def create_session(self, metadata: SessionMetadata) -> IMemorySession: ...
    async def delete_session(self, session_id: str) -> bool: ...
    async def disconnect(self) -> bool: ...
    async def get_session(self, session_id: str) -> Optional[IMemorySession]: ...
    async def get_usage_stats(self) -> MemoryUsage: ...
    async def health_check(self) -> Dict[str, Any]: ...
    async def list_sessions(self, {listing}) -> List[SessionMetadata]: ...
"""

_TYPED = """user_id: Optional[str] = None, status: Optional[SessionStatus] = None,
                            limit: int = 100, offset: int = 0"""

_EXTRAS = {
    "BigQuery": "    def get_client(self) -> google.cloud.bigquery.Client: ...\n",
    "Elasticsearch": "    def get_client(self) -> None: ...\n    def get_index_name(self, name: str) -> str: ...\n",
    "InMemory": (
        "    def get_session_data(self, session_id: str) -> Optional[Dict[str, Any]]: ...\n"
        "    def update_session_data(self, session_id: str, data: Dict[str, Any]): ...\n"
    ),
    "MongoDB": "    def get_collection_name(self, name: str) -> str: ...\n    def get_db(self): ...\n",
    "Postgres": (
        "    async def search_messages(self, query: str, session_id: Optional[str] = None,\n"
        "                              limit: int = 10) -> List[Message]: ...\n"
    ),
    "Redis": (
        "    def get_key_prefix(self) -> str: ...\n"
        "    def get_redis(self) -> redis.asyncio.Redis: ...\n"
        "    def get_ttl(self) -> int: ...\n"
    ),
    "SQLite": "    def get_connection(self) -> sqlite3.Connection: ...\n",
}

BACKENDS = (
    "".join(
        _BACKEND.format(
            name=name, listing="user_id=None, status=None, limit=100, offset=0" if name == "Postgres" else _TYPED
        )
        + extra
        + _SESSION.format(name=name)
        for name, extra in _EXTRAS.items()
    )
    + """
REDIS_AVAILABLE: bool
BIGQUERY_AVAILABLE: bool
POSTGRES_AVAILABLE: bool
MONGODB_AVAILABLE: bool
ELASTICSEARCH_AVAILABLE: bool
"""
)

BASE = """
class BaseMemorySession(IMemorySession):
    def __init__(self, metadata, backend): ...

class BaseMemoryBackend(IMemoryBackend):
    def __init__(self, config): ...

class MemoryManager(IMemoryManager):
    def __init__(self, backend: IMemoryBackend): ...
    @property
    def backend(self) -> IMemoryBackend: ...
    async def start(self): ...
    async def stop(self): ...
    async def cleanup_expired_sessions(self) -> int: ...
    async def create_session(self, session_id: Optional[str] = None, user_id: Optional[str] = None,
                             agent_id: Optional[str] = None, **kwargs) -> IMemorySession: ...
    async def delete_session(self, session_id: str) -> bool: ...
    async def get_or_create_session(self, session_id: str, user_id: Optional[str] = None,
                                    agent_id: Optional[str] = None, **kwargs) -> IMemorySession: ...
    async def get_session(self, session_id: str) -> Optional[IMemorySession]: ...
    async def get_system_stats(self) -> Dict[str, Any]: ...
    async def list_user_sessions(self, user_id: str, status: Optional[SessionStatus] = None,
                                 limit: int = 50) -> List[SessionMetadata]: ...

def get_memory_manager() -> Optional[MemoryManager]: ...
def set_memory_manager(manager): ...
async def create_session(session_id=None, user_id=None, agent_id=None, **kwargs) -> Optional[IMemorySession]: ...
async def get_session(session_id) -> Optional[IMemorySession]: ...
"""

FACTORY = """
class MemoryConfiguration:
    enabled: bool = True
    backend: str = "auto"
    settings: Dict[str, Any] = {}
    auto_cleanup: bool = True
    cleanup_interval: int = 300
    session_ttl: Optional[int] = None
    cache_sessions: bool = True
    max_cached_sessions: int = 1000
    debug_mode: bool = False
    log_level: str = "INFO"
    @classmethod
    def from_simple_config(cls, config) -> MemoryConfiguration: ...
    def validate(self) -> List[str]: ...

class MemoryFactory:
    @classmethod
    def register_backend(cls, name: str, backend_class): ...
    @classmethod
    def create_backend(cls, config: MemoryConfiguration) -> IMemoryBackend: ...
    @classmethod
    def create_manager(cls, config) -> IMemoryManager: ...
    @classmethod
    def list_backends(cls) -> List[str]: ...
    @classmethod
    def get_backend_info(cls, name) -> Dict[str, Any]: ...

class MemoryBackendError(Exception):
    def __init__(self, message, backend=None, details=None): ...

class MemoryConfigurationError(Exception):
    def __init__(self, message, config=None): ...

def create_memory_manager(config) -> Optional[IMemoryManager]: ...
def create_memory_backend(backend_type: str, **settings) -> IMemoryBackend: ...
def setup_global_memory(config) -> bool: ...
def get_global_memory_manager() -> Optional[IMemoryManager]: ...
def teardown_global_memory(): ...
"""

ERRORS = """
class LangSwarmMemoryError(Exception):
    def __init__(self, message, details=None, suggestion=None): ...

class MemoryBackendError(LangSwarmMemoryError):
    def __init__(self, backend, operation, error=None, suggestion=None): ...

class MemoryConfigurationError(LangSwarmMemoryError):
    def __init__(self, issue, component=None, config_data=None): ...

class EmbeddingError(LangSwarmMemoryError):
    def __init__(self, operation, provider, error=None, text_preview=None): ...

class VectorSearchError(LangSwarmMemoryError):
    def __init__(self, operation, backend, query=None, error=None): ...

class MemoryStorageError(LangSwarmMemoryError):
    def __init__(self, operation, backend, error=None, data_type=None): ...
"""

VECTOR_BACKEND = """
class OpenAIEmbeddingProvider(IEmbeddingProvider):
    def __init__(self, api_key: str, model: str = "text-embedding-3-small"): ...
    async def embed_text(self, text: str) -> List[float]: ...
    async def embed_batch(self, texts: List[str]) -> List[List[float]]: ...
    def get_dimension(self) -> int: ...

class VectorMemoryBackend(BaseMemoryBackend):
    def __init__(self, config): ...
    async def cleanup_expired_sessions(self) -> int: ...
    async def connect(self) -> bool: ...
    async def create_session(self, metadata: SessionMetadata) -> IMemorySession: ...
    async def delete_session(self, session_id: str) -> bool: ...
    async def disconnect(self) -> bool: ...
    async def get_session(self, session_id: str) -> Optional[IMemorySession]: ...
    async def get_usage_stats(self) -> MemoryUsage: ...
    async def health_check(self) -> Dict[str, Any]: ...
    async def list_sessions(self, user_id: Optional[str] = None, status: Optional[SessionStatus] = None,
                            limit: int = 100) -> List[SessionMetadata]: ...
    async def save_session(self, session_id: str, messages: List[Message], metadata: SessionMetadata) -> bool: ...
    async def load_session(self, session_id: str) -> Optional[tuple[List[Message], SessionMetadata]]: ...
    async def search_messages(self, query: str, session_id: Optional[str] = None,
                              limit: int = 10) -> List[Message]: ...
    async def cleanup_old_sessions(self, max_age_days: int = 30) -> int: ...
"""

VECTOR_STORES = """
class VectorDocument:
    id: str
    content: str
    embedding: List[float]
    metadata: Dict[str, Any]

class VectorQuery:
    embedding: List[float]
    top_k: int = 10
    filters: Optional[Dict[str, Any]] = None
    include_metadata: bool = True
    include_content: bool = True
    min_score: Optional[float] = None

class VectorResult:
    id: str
    content: str
    metadata: Dict[str, Any]
    score: float
    embedding: Optional[List[float]] = None

class VectorStoreConfig:
    store_type: str
    connection_params: Dict[str, Any]
    embedding_dimension: int
    index_params: Optional[Dict[str, Any]] = {}
    namespace: Optional[str] = None
    metric: str = "cosine"

class IEmbeddingProvider(ABC):
    async def embed_text(self, text: str) -> List[float]: ...
    async def embed_batch(self, texts: List[str]) -> List[List[float]]: ...
    def get_dimension(self) -> int: ...

class IVectorStore(ABC):
    async def connect(self) -> bool: ...
    async def disconnect(self) -> bool: ...
    async def create_index(self, name: str, dimension: int, metric: str = "cosine") -> bool: ...
    async def delete_index(self, name: str) -> bool: ...
    async def upsert_documents(self, documents: List[VectorDocument]) -> bool: ...
    async def query(self, query: VectorQuery) -> List[VectorResult]: ...
    async def get_document(self, doc_id: str) -> Optional[VectorDocument]: ...
    async def delete_documents(self, doc_ids: List[str]) -> bool: ...
    async def list_documents(self, limit: int = 100, filters: Optional[Dict[str, Any]] = None) -> List[str]: ...
    async def get_stats(self) -> Dict[str, Any]: ...
    async def health_check(self) -> bool: ...

class NativePineconeStore(IVectorStore):
    def __init__(self, config: VectorStoreConfig): ...

class NativeQdrantStore(IVectorStore):
    def __init__(self, config: VectorStoreConfig): ...

class NativeChromaStore(IVectorStore):
    def __init__(self, config: VectorStoreConfig): ...

class NativeSQLiteStore(IVectorStore):
    def __init__(self, config: VectorStoreConfig): ...

class VectorStoreFactory:
    @classmethod
    def create_store(cls, store_type, embedding_dimension, connection_params, **kwargs): ...
    @classmethod
    def create_pinecone_store(cls, api_key, environment, index_name, embedding_dimension, namespace=None,
                              metric="cosine"): ...
    @classmethod
    def create_qdrant_store(cls, url, collection_name, embedding_dimension, api_key=None, prefer_grpc=False,
                            metric="cosine"): ...
    @classmethod
    def create_chroma_store(cls, collection_name, embedding_dimension, host="localhost", port=8000,
                            persist_directory=None, metric="cosine"): ...
    @classmethod
    def create_sqlite_store(cls, db_path, embedding_dimension, table_name="vectors", metric="cosine"): ...
    @classmethod
    def create_pgvector_store(cls, embedding_dimension, dsn=None, host="localhost", port=5432, database="langswarm",
                              user="postgres", password="postgres", table_name="vectors", metric="cosine"): ...
    @classmethod
    def create_redis_store(cls, embedding_dimension, url="redis://localhost:6379", index_name="idx:vectors",
                           metric="cosine"): ...
    @classmethod
    def register_store(cls, store_type, store_class): ...
    @classmethod
    def list_available_stores(cls) -> List[str]: ...
    @classmethod
    def get_store_requirements(cls, store_type) -> Dict[str, Any]: ...

def create_development_store(embedding_dimension): ...
def create_auto_store(embedding_dimension, config=None): ...
"""

REFLEXIVE = """
class Lesson:
    rule_content: str
    trigger_scenario_text: str
    scope: str = "global"
    target_role: Optional[str] = None
    source_incident: str = ""
    vector: Optional[List[float]] = None
    lesson_id: str = uuid4()
    created_at: datetime = now()
    hit_count: int = 0
    confidence_score: float = 1.0
    metadata: Dict[str, Any] = {}
    def to_dict(self) -> Dict[str, Any]: ...
    @classmethod
    def from_dict(cls, data) -> Lesson: ...

class LessonStore:
    def __init__(self, vector_store, embedding_provider, namespace="agent_lessons"): ...
    async def add_lesson(self, lesson: Lesson) -> bool: ...
    async def search_lessons(self, query_text: str, limit: int = 5, threshold: float = 0.85,
                             scope: Optional[str] = None, target_role: Optional[str] = None) -> List[Lesson]: ...
    async def increment_hit_count(self, lesson_id: str): ...
    async def get_all_lessons(self) -> List[Lesson]: ...
    async def delete_lesson(self, lesson_id: str) -> bool: ...

class LessonRetriever:
    def __init__(self, store): ...
    async def get_system_prompt(self, user_query: str, current_agent_role: str, limit_per_tier: int = 3,
                                threshold: float = 0.85) -> str: ...
    def construct_prompt(self, global_rules, role_rules, agent_role) -> str: ...
    async def get_relevant_rules(self, query: str, limit: int = 3, threshold: float = 0.85) -> List[Lesson]: ...

class LessonConsolidator:
    def __init__(self, store, api_key=None, model="gpt-4o", client=None): ...
    async def run_maintenance(self): ...

class ReflectorAgent:
    def __init__(self, api_key=None, model="gpt-4o", client=None): ...
    async def analyze_failure(self, user_query: str, agent_response: str, user_correction: str,
                              agent_role: str = "generic") -> Optional[Lesson]: ...
"""

MODULES = {
    "langswarm_memory.interfaces": INTERFACES,
    "langswarm_memory.backends": BACKENDS,
    "langswarm_memory.base": BASE,
    "langswarm_memory.factory": FACTORY,
    "langswarm_memory.errors": ERRORS,
    "langswarm_memory.vector_stores": VECTOR_STORES,
    "langswarm_memory.vector_backend": VECTOR_BACKEND,
    "langswarm_memory.reflexive": REFLEXIVE,
}
"""The declarations of each module."""

OPTIONS = {
    "SQLiteBackend": {"db_path": "langswarm_memory.db"},
    "RedisBackend": {"url": "redis://localhost:6379", "db": 0, "key_prefix": "langswarm:memory:", "ttl": 86_400},
    "PostgresBackend": {
        "url": None,
        "user": "postgres",
        "password": "",
        "host": "localhost",
        "port": 5432,
        "database": "langswarm",
        "min_size": 10,
        "max_size": 10,
        "schema": "public",
        "table_prefix": "",
        "enable_vector": False,
        "embedding_dimension": 1536,
        "embedding": {"provider": "openai", "model": "text-embedding-3-small"},
    },
    "BigQueryBackend": {
        "dataset_id": "langswarm_memory",
        "location": "US",
        "credentials_path": None,
        "retention_days": 180,
    },
    "MongoDBBackend": {
        "uri": "mongodb://localhost:27017",
        "database": "langswarm_memory",
        "collection_prefix": "",
    },
    "ElasticsearchBackend": {
        "hosts": ["http://localhost:9200"],
        "index_prefix": "langswarm_memory",
        "api_key": None,
        "username": None,
        "password": None,
    },
    "VectorMemoryBackend": {
        "vector_store": {"store_type": "sqlite", "connection_params": {}},
        "embedding": {"provider": "openai", "model": "text-embedding-3-small"},
        "enable_semantic_search": True,
    },
}
"""The options of each backend, and their defaults."""

REQUIRED_OPTIONS = {
    "BigQueryBackend": {"project_id": "a-project"},
    "VectorMemoryBackend": {"embedding": {"provider": "openai", "api_key": "sk-none"}},
}
"""Options that a backend cannot do without."""

TOP_LEVEL = """
__version__ __author__ __license__
MessageRole SessionStatus MemoryBackendType Message ConversationSummary SessionMetadata MemoryUsage
IMemorySession IMemoryBackend IMemoryManager IMemoryProvider IMemoryMigrator
BaseMemorySession BaseMemoryBackend MemoryManager
InMemoryBackend SQLiteBackend RedisBackend InMemorySession SQLiteSession RedisSession
BIGQUERY_AVAILABLE POSTGRES_AVAILABLE MONGODB_AVAILABLE ELASTICSEARCH_AVAILABLE
BigQueryBackend BigQuerySession PostgresBackend PostgresSession MongoDBBackend MongoDBSession
ElasticsearchBackend ElasticsearchSession
MemoryConfiguration MemoryFactory create_memory_manager create_memory_backend
LangSwarmMemoryError MemoryBackendError MemoryConfigurationError EmbeddingError VectorSearchError MemoryStorageError
MemoryConfig MemoryEvent SearchQuery SearchResult MessageList SessionList MemoryCallback ProgressCallback
"""
"""The names of ``langswarm_memory`` itself."""

OTHER_MODULES = {
    "langswarm_memory.utils": (
        "OptionalImport optional_imports get_package_version check_redis_available check_vector_available "
        "suggest_install"
    ),
    "langswarm_memory.memory_enhancements": (
        "MemoryRelationManager TemporalDecayManager MemoryCategorizer MemoryDeduplicator"
    ),
    "langswarm_memory.agent_memory_types": "MemoryType RelationType MemoryRelation EnhancedMemoryRecord",
    "langswarm_memory.agent_memory_interfaces": "IAgentMemory IContextManager IMemoryRetrieval create_agent_memory",
    "langswarm_memory.agent_memory_impl": "AgentMemoryManager ContextManager MemoryRetrievalEngine",
}
"""Modules of the released package that no document describes, and their chief names."""

BACKEND_TYPES = ("sqlite", "redis", "postgres", "bigquery", "mongodb", "elasticsearch", "in_memory", "vector")
"""The names that a configuration gives to session stores (S4)."""

VECTOR_STORE_TYPES = ("pinecone", "qdrant", "pgvector", "redis", "chroma", "sqlite")
"""The names that a configuration gives to vector stores (S4)."""
